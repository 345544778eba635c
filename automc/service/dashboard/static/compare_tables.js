// Two latency tables side by side: the second's latencies over the first's.
import { address, get } from "./api.js";
import { $, empty, fill, h, notice, table, tile } from "./dom.js";
import { plural, us } from "./format.js";
import { colour, draw, plain } from "./plot.js";

const asked = new URLSearchParams(location.search), first = asked.get("first") ?? "", second = asked.get("second") ?? "";
const link = (id) => h("a", { href: `/tables/${encodeURIComponent(id)}` }, id);
const times = (ratio) => (ratio === null ? "–" : `${ratio.toFixed(2)}×`);

function kinds(found) {
  const items = Object.entries(found.by_kind).map(([kind, [median, count]]) => ({ kind, median, count })).sort((a, b) => b.count - a.count);
  const plot = h("div", { class: "plot" });
  const card = h("section", { class: "card" }, h("h2", {}, "By kind of operator"), plot,
    table("By kind of operator", [
      { title: "Kind", cell: (one) => one.kind },
      { title: "Operators", number: true, cell: (one) => String(one.count) },
      { title: "Median ratio", number: true, cell: (one) => times(one.median) },
    ], items));
  const known = items.filter((one) => one.median !== null);
  return { card, paint: () => draw(plot, () => ({
    traces: [{ type: "bar", x: known.map((one) => plain(one.kind)), y: known.map((one) => one.median), marker: { color: colour("plot0") }, hovertemplate: "%{x}: %{y:.3f}×<extra></extra>" }],
    x: { type: "category" },
    y: { text: "second over first, median", rangemode: "tozero" },
    layout: { bargap: 0.4, shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: colour("soft"), dash: "dot", width: 1.5 } }] },
    told: `Median ratio by kind: ${known.map((one) => `${one.kind} ${times(one.median)}`).join(", ")}`,
  })) };
}

try {
  if (!first || !second) throw new Error("Name two tables: choose one under Devices, and there another to compare it with.");
  const found = await get(address("tables", first, "compare", second));
  const { card, paint } = kinds(found), quantiles = Object.entries(found.quantiles).sort(([one], [other]) => one - other);
  fill($("#comparison"),
    h("p", {}, "First: ", link(first), ". Second: ", link(second), "."),
    h("p", { class: `notice ${found.device ? "warn" : "good"}` }, found.device ? `Their devices differ: ${found.device}` : "Both are of the same device."),
    h("div", { class: "tiles" },
      tile("Second over first", times(found.median), `median of ${plural(found.operators, "operator")} in both`),
      tile("Range", quantiles.length ? `${times(quantiles[0][1])} to ${times(quantiles.at(-1)[1])}` : "–", quantiles.map(([share, value]) => `${Math.round(100 * share)}%: ${times(value)}`).join(", ")),
      tile("In the first only", String(found.only_first)), tile("In the second only", String(found.only_second))),
    found.operators ? card : empty("No operator is in both."),
    found.largest.length ? h("section", { class: "card" }, h("h2", {}, "Furthest from the median"), table("Furthest from the median", [
      { title: "Operator", across: true, class: "signature", cell: ([operator]) => operator },
      { title: "First", number: true, cell: ([, one]) => us(one) },
      { title: "Second", number: true, cell: ([, , one]) => us(one) },
      { title: "Ratio", number: true, cell: ([, one, other]) => times(other / one) },
    ], found.largest, { cards: true })) : null);
  if (found.operators) paint();
} catch (error) {
  $("#comparison").removeAttribute("aria-busy");
  notice($("#notice"), error);
}
