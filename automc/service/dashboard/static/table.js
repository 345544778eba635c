// One latency table: how far to trust it, its operators, and what it says when it is asked.
import { address, ask, get } from "./api.js";
import { $, calm, empty, fill, h, notice, pager, table, terms, tile } from "./dom.js";
import { between, cost, percent, signed, us, when } from "./format.js";
import { colour, draw, plain } from "./plot.js";

const LIMIT = 25;
const id = $("#table").dataset.table;
const filters = $("#filters"), query = $("#query"), network = $("#network");
let offset = 0, asked = 0;

const interval = (one) => between(one.low, one.high);

function head(one) {
  fill($("#head"),
    h("div", { class: "tiles" },
      tile("Operators", String(one.operators), Object.keys(one.kinds).length + " kinds"),
      tile("Repeats to", percent(one.repeatability), "an operator measured again, RMS"),
      tile("Measured", when(one.measured_at), one.imported ? `imported from ${one.imported}` : null, "words"),
      tile("Fitted on", String(Object.values(one.fitted_on).reduce((sum, count) => sum + count, 0)), `whole networks${Object.keys(one.fitted_on).length ? ` of ${Object.keys(one.fitted_on).join(", ")}` : ""}`)),
    h("section", { class: "card" }, h("h2", {}, "Device"), terms([
      ["Processor", one.device.processor], ["Instructions", one.device.instructions.join(", ")], ["Runtime", one.device.runtime],
      ["Threads", one.device.threads], ["Batch", one.device.batch], ["Method", one.method],
      ["Overhead", Object.entries(one.overhead_us).map(([name, value]) => `${name.replaceAll("_", " ")} ${us(value)}`).join(", ")],
    ])));
  fill(filters.kind, h("option", { value: "" }, "any"), Object.entries(one.kinds).sort().map(([kind, count]) => h("option", { value: kind }, `${kind} (${count})`)));
}

const VALIDATIONS = [
  { title: "Network", cell: (one) => [one.subject, h("small", {}, one.space)] },
  { title: "Policies", number: true, cell: (one) => String(one.policies) },
  { title: "RMSPE", number: true, cell: (one) => percent(one.rmspe) },
  { title: "Within ±5%", number: true, cell: (one) => percent(one.within5, 0) },
  { title: "Within ±10%", number: true, cell: (one) => percent(one.within10, 0) },
  { title: "Bias", number: true, cell: (one) => signed(one.bias) },
  { title: "Rank correlation", number: true, cell: (one) => one.spearman.toFixed(3) },
  { title: "Measured", cell: (one) => when(one.measured_at) },
];

function errors(validations) {
  if (!validations.length) {
    fill($("#validations"), empty("Nobody has looked yet. On the device, this measures random policies of a network and holds them against predictions:", h("code", {}, "automc latency validate TASK")));
    return;
  }
  fill($("#validations"), table("Validations", VALIDATIONS, validations, { cards: true }));
  $("#errors").hidden = false;
  const names = validations.map((one, place) => `${place + 1}. ${one.subject}`);
  const bars = (name, of, shade) => ({
    type: "bar", name, x: names.map(plain), y: validations.map((one) => 100 * of(one)), marker: { color: colour(shade) },
    text: validations.map((one) => `${name} ${(100 * of(one)).toFixed(1)}%`), textposition: "none", hovertemplate: "%{text}<extra></extra>",
  });
  draw($("#errors"), () => ({
    traces: [bars("RMSPE", (one) => one.rmspe, "plot0"), bars("median error", (one) => one.median, "plot2"), bars("bias", (one) => one.bias, "plot1"), bars("repeatability of the measurement", (one) => one.repeatability, "plot5")],
    x: { type: "category" },
    y: { text: "relative error", ticksuffix: "%" },
    layout: { barmode: "group", showlegend: true, legend: { orientation: "h", y: -0.18 }, bargap: 0.35 },
    told: `Errors: ${validations.map((one) => `${one.subject} RMSPE ${percent(one.rmspe)}, bias ${signed(one.bias)}`).join("; ")}`,
  }));
}

const OPERATORS = [
  { title: "Operator", across: true, class: "signature", cell: (one) => one.operator },
  { title: "Mean", number: true, cell: (one) => us(one.us) },
  { title: "Quartiles", number: true, cell: interval },
  { title: "Runs", number: true, cell: (one) => [String(one.runs), one.drifted ? h("small", {}, "speed drifted") : null] },
  { title: "", cell: (one) => h("button", { type: "button", class: "small", "aria-label": `Ask for ${one.operator}`, on: { click: () => take(one.operator) } }, "Ask") },
];

async function operators() {
  const mine = ++asked;
  try {
    const page = await get(address("tables", id, "operators"), { ...Object.fromEntries(new FormData(filters)), offset, limit: LIMIT });
    if (mine !== asked) return;
    fill($("#operators"), page.items.length ? table("Measured operators", OPERATORS, page.items, { cards: true }) : empty("No measured operator is like that."));
    fill($("#pages"), pager(page, LIMIT, (to) => { offset = to; operators(); }));
  } catch (error) {
    if (mine === asked) notice($("#operators"), error);
  }
}

function take(operator) {
  query.operators.value = [query.operators.value.trim(), operator].filter(Boolean).join("\n");
  query.operators.focus();
}

const ANSWERS = [
  { title: "Operator", across: true, class: "signature", cell: (one) => one.operator },
  { title: "Latency", number: true, cell: (one) => (one.error ? "–" : us(one.us)) },
  { title: "Nine of ten within", number: true, cell: (one) => (one.error ? "–" : interval(one)) },
  { title: "How", cell: (one) => one.error ?? one.how },
];

async function answerOperators(event) {
  event.preventDefault();
  const lines = query.operators.value.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!lines.length) return query.operators.focus();
  try {
    const found = await ask("POST", address("tables", id, "query"), { body: { operators: lines, estimate: query.estimate.checked } });
    fill($("#answers"), table("Answers", ANSWERS, found, { cards: true }));
  } catch (error) {
    notice($("#answers"), error);
  }
}

async function answerNetwork(event) {
  event.preventDefault();
  const button = network.querySelector("button");
  button.disabled = true;
  fill($("#answer"), h("p", { class: "soft" }, "Reading the network takes some seconds the first time."));
  try {
    const found = await ask("POST", address("tables", id, "network"), { body: { task: network.task.value, estimate: network.estimate.checked, breakdown: network.breakdown.checked } });
    fill($("#answer"),
      h("div", { class: "tiles" }, tile("Latency", us(found.cost.latency), interval(found)), tile("MACs", cost("macs", found.cost.macs)), tile("Weights", cost("size", found.cost.size)),
        tile("Memory", cost("memory", found.cost.memory)), tile("Beyond operators", us(found.run_us), "a run")),
      h("p", { class: "caption" }, `Interval: ${found.interval}. Of the operators’ latency: ${Object.entries(found.shares).map(([how, share]) => `${percent(share, 0)} ${how}`).join(", ")}.`),
      found.breakdown.length ? table("Operator by operator", ANSWERS, found.breakdown, { cards: true }) : null);
  } catch (error) {
    notice($("#answer"), error);
  }
  button.disabled = false;
}

query.addEventListener("submit", answerOperators);
network.addEventListener("submit", answerNetwork);
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("input", calm(() => { offset = 0; operators(); }));
$("#compare").addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(`/compare/tables?${new URLSearchParams({ first: id, second: event.target.second.value })}`);
});

try {
  const one = await get(address("tables", id));
  $("#all").hidden = false;
  head(one);
  errors(one.validations);
  const [tables, tasks] = await Promise.all([get(address("tables")), get(address("tasks")), operators()]);
  fill(network.task, tasks.map((task) => h("option", { value: task.name }, task.name)));
  const others = tables.filter((other) => other.id !== id);
  fill($("#compare select"), others.map((other) => h("option", {}, other.id)));
  $("#compare").hidden = !others.length;
} catch (error) {
  notice($("#notice"), error);
}
