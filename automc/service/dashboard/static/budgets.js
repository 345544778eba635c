// The budgets of a campaign: metric, bound and unit, as many as are wanted.
import { fill, h } from "./dom.js";
import { metricName, UNITS } from "./format.js";

const WRITTEN = { "": "", k: "thousand", m: "million", g: "billion", us: "µs", b: "B", kb: "kB", mb: "MB", gb: "GB", kib: "KiB", mib: "MiB", gib: "GiB", pj: "pJ", nj: "nJ", uj: "µJ", mj: "mJ", j: "J" };
const TWICE = ["µs", "µj"]; // written as us and uj, too

/** Returns {node, read, offer}. `offer(metrics)` says which metrics the agent can keep. */
export function budgets() {
  const lines = h("div", {});
  let metrics = ["latency", "macs", "params", "size", "memory"];

  function line(metric, value = "50", unit = "%") {
    const which = h("select", { "aria-label": "Metric" }), units = h("select", { "aria-label": "Unit" });
    const bound = h("input", { type: "number", min: 0, step: "any", value, "aria-label": "At most", required: true });
    const remove = h("button", { type: "button", "aria-label": "Remove this budget", on: { click: () => { row.remove(); number(); } } }, "Remove");
    const wrong = h("p", { class: "wrong", hidden: true });
    const row = h("div", { class: "field one" }, h("div", { class: "budget" }, which, h("span", { "aria-hidden": "true" }, "≤"), bound, units, remove), wrong);
    const offerUnits = (wanted) => {
      const known = (UNITS[which.value] ?? []).filter((one) => !TWICE.includes(one));
      const count = ["macs", "params"].includes(which.value);
      fill(units, h("option", { value: "%" }, "% of the original"), known.map((one) => h("option", { value: one }, count ? `${WRITTEN[one]} ${metricName(which.value)}`.trim() : WRITTEN[one] ?? one)));
      if ([...units.options].some((one) => one.value === wanted)) units.value = wanted;
    };
    row.offer = () => {
      const before = which.value || metric;
      fill(which, metrics.map((one) => h("option", { value: one }, metricName(one))));
      which.value = metrics.includes(before) ? before : metrics[0];
      offerUnits(units.value || unit);
    };
    row.text = () => `${which.value}<=${bound.value || "0"}${units.value}`;
    which.addEventListener("change", () => offerUnits(units.value));
    row.offer();
    lines.append(row);
    number();
  }

  /** Their places are what mistakes are told at. */
  function number() {
    [...lines.children].forEach((row, place) => {
      row.dataset.field = `config.budget.${place}`;
      row.querySelector("button").hidden = lines.children.length === 1;
    });
  }

  const add = h("button", { type: "button", on: { click: () => { line(metrics.find((one) => ![...lines.children].some((row) => row.text().startsWith(`${one}<`))) ?? metrics[0]); lines.lastChild.querySelector("select").focus(); } } }, "Add a budget");
  const wrong = h("p", { class: "wrong", hidden: true });
  const node = h("fieldset", { data: { field: "config.budget" } }, h("legend", {}, "Budgets"),
    h("p", { class: "help" }, "What the compressed network may cost at most. All of them are kept."), wrong, lines, add);
  line("latency", "60");
  return {
    node,
    read: () => [...lines.children].map((row) => row.text()),
    offer: (offered) => { metrics = offered; for (const row of lines.children) row.offer(); },
  };
}
