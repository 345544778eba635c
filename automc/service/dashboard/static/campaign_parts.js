// What lists and pages show of a campaign: its state, how far it is, the best it found.
import { h } from "./dom.js";
import { cost, metricName, score } from "./format.js";

/** A campaign's page. The form that starts one has an address that a campaign's name could be. */
export const campaignPage = (name) => `/campaigns/${encodeURIComponent(name)}${name === "new" ? "/" : ""}`;

export const recipePage = (name) => `/recipes/${encodeURIComponent(name)}`;

export function stateOf(one) {
  const words = one.waiting ? "in line" : one.state;
  return h("span", { class: `state ${one.state}`, title: one.reason }, words);
}

/** How many evaluations have ended, of how many. */
export function bar(one) {
  const share = one.total ? Math.min(one.evaluations / one.total, 1) : one.state === "finished" ? 1 : 0;
  const of = one.evaluations > one.total ? ` (${one.total} planned)` : ` of ${one.total}`; // finalists may add some
  const words = `${one.evaluations}${one.total ? of : ""}${one.failed ? `, ${one.failed} failed` : ""}`;
  return h("div", { class: "progress" },
    h("div", { class: "bar", role: "progressbar", "aria-label": `Evaluations of ${one.name}`, "aria-valuemin": 0, "aria-valuemax": one.total ?? one.evaluations, "aria-valuenow": Math.min(one.evaluations, one.total ?? one.evaluations), "aria-valuetext": words },
      h("div", { class: "fill", style: { width: `${100 * share}%` } })),
    h("span", {}, words));
}

export function best(one) {
  if (!one.best) return "–";
  const figure = cost(one.cost_is, one.best.cost); // where a cost is not known, MACs stand for it
  return [score(one.best.score, one.metric), h("small", {}, one.best.predicted[one.cost_is] === null ? cost("macs", one.best.cost) : figure)];
}

/** Which metrics a list of costs has, those in all of them. */
export const metricsOf = (costs) => ["latency", "macs", "params", "size", "memory", "energy"]
  .filter((metric) => costs.length && costs.every((one) => one[metric] !== null && one[metric] !== undefined))
  .map((metric) => [metric, metricName(metric)]);
