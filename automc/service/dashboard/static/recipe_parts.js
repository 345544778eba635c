// Figures of recipes.
import { address, get } from "./api.js";
import { h } from "./dom.js";
import { between, budgetsOf, bytes, cost, percent, score, us } from "./format.js";

/** A recipe and its network's units. */
export async function load(name) {
  const [recipe, result] = await Promise.all([get(address("campaigns", name, "recipe")), get(address("campaigns", name, "result"))]);
  return { name, recipe, units: result.units, verdict: result.verdict, brought: result.brought };
}

const ofOriginal = (value, original) => (original ? h("small", {}, `${percent(value / original)} of the original`) : null);

/** Lines of figures: {title, of: (figures) => value, show, share}. */
const LINES = (metric) => [
  { title: `Test ${metric}`, of: (one) => one.test_score, show: (value) => score(value, metric) },
  { title: `Search ${metric}`, of: (one) => one.search_score, show: (value) => score(value, metric) },
  { title: "Measured latency", of: (one) => one.measured_us?.[1], show: us, share: true, note: (one) => (one.measured_us ? `quartiles ${between(one.measured_us[0], one.measured_us[2])}` : null) },
  { title: "Predicted latency", of: (one) => one.predicted_us, show: us, share: true },
  { title: "MACs", of: (one) => one.macs, show: (value) => cost("macs", value), share: true },
  { title: "Parameters", of: (one) => one.params, show: (value) => cost("params", value), share: true },
  { title: "Weights", of: (one) => one.size, show: bytes, share: true },
  { title: "Memory", of: (one) => one.memory, show: bytes, share: true },
];

/** The figures of recipes, one column each, with the original's where they share it. */
export function figures(recipes) {
  const same = recipes.every(({ recipe }) => recipe.model_digest === recipes[0].recipe.model_digest);
  const columns = [...(same ? [{ name: "original", one: recipes[0].recipe.original, original: null }] : []),
    ...recipes.map(({ name, recipe }) => ({ name, one: recipe.figures, original: recipe.original }))];
  const rows = LINES(recipes[0].recipe.metric).filter((line) => columns.some(({ one }) => line.of(one) !== null && line.of(one) !== undefined));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Figures" }, h("table", { class: "figures" },
    h("caption", { class: "hidden" }, "Figures of the original and of what recipes make of it"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Figure"), columns.map(({ name }) => h("th", { scope: "col", class: "num" }, name)))),
    h("tbody", {}, rows.map((line) => h("tr", {}, h("th", { scope: "row" }, line.title), columns.map(({ one, original }) => {
      const value = line.of(one);
      if (value === null || value === undefined) return h("td", { class: "num" }, "–");
      const note = line.note?.(one);
      return h("td", { class: "num" }, line.show(value), note ? h("small", {}, note) : null, original && line.share ? ofOriginal(value, line.of(original)) : null);
    }))))));
}

/** Where recipes come from, as pairs. */
export const origin = ({ recipe }) => [
  ["Task", recipe.task], ["Budgets", budgetsOf(recipe.budgets)], ["Agent", recipe.agent], ["Evaluations", recipe.evaluations], ["Seed", recipe.seed],
  ["Fine-tuned", recipe.tuned_epochs ? `${recipe.tuned_epochs} epochs` : "no"], ["Device", `${recipe.device.name}: ${recipe.device.processor}`],
  ["Runtime", `${recipe.device.runtime}, threads ${recipe.device.threads}, batch ${recipe.device.batch}`], ["Forced table", recipe.forced_table],
  ["Versions", Object.entries(recipe.versions).map(([library, version]) => `${library} ${version}`).join(", ")],
];
