// A campaign's head: state, progress, figures, buttons, files.
import { address } from "./api.js";
import { bar, best, stateOf } from "./campaign_parts.js";
import { $, confirm, fill, h, tile } from "./dom.js";
import { budgetsOf, bytes, cost, duration, plural, score, when } from "./format.js";

const ENDED = ["finished", "cancelled"];
const WHAT = {
  "report.html": "the report, one page", "result.json": "all figures", "recipe.yaml": "the recipe", "model.safetensors": "weights of the best",
  "model.onnx": "the best, for ONNX Runtime", "model.pt2": "the best, for torch.export", "original.onnx": "the original, for ONNX Runtime", "campaign.log": "what was said",
};

export function showState(one) {
  const node = $("#state"), words = one.waiting ? "in line" : one.state;
  if (node.textContent !== words) fill(node, stateOf(one));
}

/** Minutes until all evaluations have ended, at the rate of late. */
function left(one) {
  if (one.state !== "running" || !one.rate || !one.total) return null;
  const rest = one.total - one.evaluations;
  return rest > 0 ? `about ${duration(Math.round(60 * rest / one.rate))} left for evaluations` : "finishing: finalists are measured";
}

/** Why there is no evaluation to be seen. */
export function noneYet(one) {
  if (one.state === "queued") return "It has not begun yet. Evaluations are shown here as they end.";
  if (one.state === "running") return "Getting ready: the network is read, and what is not known of the device yet is measured, which may take minutes. The log below tells more. Evaluations are shown here as they end.";
  return "It stopped before its first evaluation had ended.";
}

export function headOf(one) {
  const rate = one.rate ? `${one.rate.toPrecision(2)} a minute` : null;
  const workers = Object.keys(one.workers).length;
  const head = $("#head");
  const parts = [
    one.waiting ? h("p", { class: "notice" }, "In line: it begins as soon as there is room for it.") : null,
    one.reason ? h("p", { class: "notice bad" }, one.reason) : null,
    h("div", { class: "tiles" },
      tile("Evaluations", bar(one), [rate, left(one)].filter(Boolean).join(", ") || (one.state === "running" && !one.evaluations && !one.under_way ? "getting ready" : one.under_way ? `${one.under_way} under way` : null)),
      tile("Best so far", best(one)[0], one.best ? `${cost(one.best.predicted[one.cost_is] === null ? "macs" : one.cost_is, one.best.cost)}, by ${one.best.agent}` : "nothing yet that keeps the budget"),
      tile("Budget", budgetsOf(one.budget), Object.entries(one.limits).map(([metric, limit]) => cost(metric, limit)).join(", "), "words"),
      tile("Running for", duration(one.seconds), [workers ? plural(workers, "worker") : null, `${duration(one.worker_seconds)} of evaluations`].filter(Boolean).join(", ")),
      tile("Agent", one.agent, `task ${one.task}, seed ${one.seed}`),
      tile("Made", when(one.created), `by ${one.owner}`, "words")),
    one.failures.length ? h("details", { class: "card" }, h("summary", {}, `${plural(one.failed, "evaluation")} failed`), h("ul", {}, one.failures.map((why) => h("li", {}, why)))) : null,
    h("p", { class: "hidden", "aria-live": "polite" }, `${one.state}: ${milestone(one)}`),
  ];
  const open = head.querySelector("details")?.open;
  fill(head, parts);
  if (open && head.querySelector("details")) head.querySelector("details").open = true;
}

/** Progress for those who listen: not at every evaluation. */
function milestone(one) {
  const tenth = one.total ? Math.floor((10 * one.evaluations) / one.total) : 0;
  return `${10 * tenth}% of evaluations${one.best ? `, best ${score(one.best.score, one.metric)}` : ""}`;
}

/** Buttons for what can be done now. `act(method, ...parts)` asks for it. */
export function actions(one, act) {
  const node = $("#actions"), can = [];
  const button = (words, listener, kind) => h("button", { type: "button", class: kind, on: { click: listener } }, words);
  if (["queued", "running"].includes(one.state)) can.push(["Pause", () => act("POST", "pause")]);
  if (["paused", "failed"].includes(one.state)) can.push(["Resume", () => act("POST", "resume"), "main"]);
  if (!ENDED.includes(one.state)) {
    can.push(["Cancel", async () => {
      if (await confirm(`Cancel ${one.name}?`, "It ends for good. What it has evaluated is kept.", "Cancel the campaign")) act("POST", "cancel");
    }]);
  }
  if (one.state !== "running") {
    can.push(["Delete", async () => {
      const files = h("p", {}, h("label", { class: "check" }, h("input", { type: "checkbox", name: "files" }), " its files, too"));
      const asked = await confirm(`Delete ${one.name}?`, "It goes with all its evaluations; nothing brings them back.", "Delete it", files);
      if (asked) act("DELETE", { files: asked.has("files") });
    }, "danger"]);
  }
  const words = can.map(([label]) => label).join();
  if (node.dataset.words === words) return; // so that a button stays under the finger
  node.dataset.words = words;
  fill(node, can.map(([label, listener, kind]) => button(label, listener, kind)));
}

export function files(one) {
  const link = (where, words, about) => h("li", {}, h("a", { href: where, download: true }, words), h("span", { class: "soft" }, ` ${about}`));
  const report = one.files.some((file) => file.name === "report.html")
    ? [h("li", {}, h("a", { href: `${address("campaigns", one.name, "files", "report.html")}?inline=true`, target: "_blank", rel: "noopener" }, "Open the report"))] : [];
  const list = one.files.map((file) => link(address("campaigns", one.name, "files", file.name), file.name, `${WHAT[file.name] ?? ""}, ${bytes(file.size)}`));
  if (one.evaluations) list.push(link(address("campaigns", one.name, "archive"), `${one.name}.campaign`, "all of it, for another server"));
  fill($("#files"), list.length ? h("ul", { class: "plain" }, report, list) : h("p", { class: "soft" }, "Recipe, models and report are here once it has finished."));
}
