// One campaign: followed as it happens, and what it found.
import { address, ask, follow, get } from "./api.js";
import { $, empty, fill, h, notice, pager, table } from "./dom.js";
import { drawFront, drawHistory } from "./charts.js";
import { actions, files, headOf, noneYet, showState } from "./campaign_head.js";
import { metricsOf } from "./campaign_parts.js";
import { cost, duration, percent, score, when } from "./format.js";
import { picture } from "./policy.js";
import { comparison, drawPredictions, measuredOf } from "./result.js";

const LIMIT = 15;
const name = $("#campaign").dataset.name;
const rows = new Map(); // by agent and number
let campaign = null, result = null, metric = null, offset = 0, chosen = null, planned = false;

const ordered = () => [...rows.values()].sort((a, b) => (a.cursor < b.cursor ? -1 : 1));

/** Draws what hangs on evaluations, once for all that come together. */
function plan() {
  if (planned) return;
  planned = true;
  setTimeout(() => { planned = false; redraw(); }, 150);
}

function redraw() {
  if (!campaign) return;
  const found = ordered();
  $("#none").hidden = found.length > 0;
  for (const section of document.querySelectorAll(".plots")) section.hidden = !found.length; // axes without a mark say nothing
  if (!found.length) {
    fill($("#none"), noneYet(campaign));
    return list(found);
  }
  const metrics = metricsOf(found.map((row) => row.predicted));
  const select = $("#cost");
  if (metrics.length && select.dataset.metrics !== JSON.stringify(metrics)) {
    select.dataset.metrics = JSON.stringify(metrics);
    const wanted = metrics.some(([one]) => one === metric) ? metric : metrics.some(([one]) => one === campaign.cost_is) ? campaign.cost_is : metrics[0][0];
    fill(select, metrics.map(([one, words]) => h("option", { value: one }, words)));
    select.value = metric = wanted;
  }
  drawFront($("#front"), $("#front-key"), campaign, metric ? found : [], result ? measuredOf(result) : [], metric ?? campaign.cost_is, open);
  drawHistory($("#history"), $("#history-key"), campaign, found);
  list(found);
}

const COLUMNS = [
  { title: "Policy", cell: (row) => h("button", { type: "button", class: "link", "aria-label": `Show policy ${row.number} of ${row.agent}`, on: { click: () => open(row.agent, row.number) } }, `${row.agent} ${row.number}`) },
  { title: "Score", number: true, cell: (row) => (row.error ? h("span", { class: "state failed" }, "failed") : score(row.score, campaign.metric)) },
  { title: "Latency, predicted", number: true, cell: (row) => cost("latency", row.predicted.latency) },
  { title: "MACs", number: true, cell: (row) => cost("macs", row.predicted.macs) },
  { title: "Weights", number: true, cell: (row) => cost("size", row.predicted.size) },
  { title: "Took", number: true, cell: (row) => duration(row.seconds) },
  { title: "Ended", cell: (row) => when(row.ended) },
];

/** The list, newest first. */
function list(found) {
  const filters = $("#filters"), agents = [...new Set(found.map((row) => row.agent))].sort();
  const select = filters.agent, value = select.value;
  if (select.options.length !== agents.length + 1) {
    fill(select, h("option", { value: "" }, "any"), agents.map((agent) => h("option", {}, agent)));
    select.value = value;
  }
  const shown = found.filter((row) => (!value || row.agent === value) && (!filters.failed.checked || row.error)).reverse();
  offset = Math.min(offset, Math.max(0, LIMIT * (Math.ceil(shown.length / LIMIT) - 1)));
  const items = shown.slice(offset, offset + LIMIT), node = $("#evaluations");
  const focused = node.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  if (items.length) {
    fill(node, table("Evaluations", COLUMNS, items, { cards: true, row: (row) => (chosen === `${row.agent} ${row.number}` ? { class: "chosen" } : {}) }),
      items.filter((row) => row.error).map((row) => h("p", { class: "caption" }, `${row.agent} ${row.number} failed: ${row.error}`)));
  } else fill(node, empty(found.length ? "No evaluation is like that." : "Evaluations are listed here as they end."));
  if (focused) node.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  fill($("#pages"), pager({ offset, total: shown.length }, LIMIT, (to) => { offset = to; list(ordered()); }));
}

/** Shows a policy beside the original. */
async function open(agent, number) {
  try {
    const { evaluation, units } = await get(address("campaigns", name, "evaluations", agent, number));
    const { predicted } = evaluation;
    const about = [evaluation.error ? `failed: ${evaluation.error}` : score(evaluation.score, campaign.metric),
      predicted.latency === null ? null : `predicted ${cost("latency", predicted.latency)}`,
      evaluation.measured ? `measured ${cost("latency", evaluation.measured.us)}` : null, cost("macs", predicted.macs),
      cost("size", predicted.size), evaluation.change === null ? null : `outputs changed by ${percent(evaluation.change)}`];
    showPolicy(`Policy ${number} of ${agent}`, about.filter(Boolean).join(", "), units, [{ name: `${agent} ${number}`, policy: evaluation.policy }]);
    chosen = `${agent} ${number}`;
    list(ordered());
  } catch (error) {
    notice($("#notice"), error);
    $("#notice").scrollIntoView({ block: "center" });
  }
}

function showPolicy(title, about, units, policies) {
  const section = $("#policy");
  section.hidden = false;
  fill($("#policy-title"), title);
  fill($("#policy-body"), h("p", { class: "caption" }, about), picture(units, policies));
  section.focus({ preventScroll: true });
  section.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

async function showResult() {
  const section = $("#result");
  try {
    result = await get(address("campaigns", name, "result"));
  } catch (error) {
    notice(section, error);
    return;
  }
  const predictions = h("div", { class: "plot square" });
  const openRow = (row) => showPolicy(`Policy of ${row.name}`, `${score(row.search_score, result.metric)} on search images`, result.units, [{ name: row.name, policy: row.policy }]);
  const card = h("section", { class: "card" }, h("h2", {}, "Predicted against measured latency"), predictions,
    h("p", { class: "caption" }, "Diamonds: the networks above. Circles: other finalists. Band: ±10%."));
  fill(section,
    h("p", { class: `notice ${result.brought ? "good" : "warn"}` }, result.verdict),
    h("section", { class: "card" }, h("h2", {}, "Original, controls and best"), comparison(result, openRow),
      h("details", {}, h("summary", {}, "What was measured, on what"), h("ul", {}, result.claims.map((claim) => h("li", {}, claim))))),
    card);
  if (!drawPredictions(predictions, result)) card.remove();
  plan();
}

/** Takes how the campaign stands. */
function take(detail) {
  const before = campaign?.state;
  $("#all").hidden = false;
  campaign = detail;
  showState(detail);
  headOf(detail);
  actions(detail, act);
  files(detail);
  fill($("#log"), detail.log.length ? h("pre", { tabindex: 0, "aria-label": "The last lines of its log" }, detail.log.join("\n")) : h("p", { class: "soft" }, "Nothing was said yet."));
  $("#config").textContent = JSON.stringify(detail.config, null, 2);
  if (detail.state === "finished" && before !== "finished") showResult();
  plan();
}

async function act(method, ...parts) {
  try {
    notice($("#notice"));
    const query = parts.length && typeof parts.at(-1) === "object" ? parts.pop() : {};
    const detail = await ask(method, address("campaigns", name, ...parts), { query });
    if (method === "DELETE") return location.assign("/");
    take(detail);
  } catch (error) {
    notice($("#notice"), error);
  }
}

$("#cost").addEventListener("change", (event) => { metric = event.target.value; redraw(); });
$("#filters").addEventListener("input", () => { offset = 0; list(ordered()); });
$("#filters").addEventListener("submit", (event) => event.preventDefault());
try {
  take(await get(address("campaigns", name)));
  follow(name, {
    open: () => notice($("#notice")),
    campaign: take,
    evaluation: (row) => { rows.set(`${row.agent} ${row.number}`, row); plan(); },
    lost: (text) => notice($("#notice"), text, "warn"),
  });
} catch (error) {
  notice($("#notice"), error);
}
