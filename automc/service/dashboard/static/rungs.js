// Promotions: what the best policies are evaluated at again after the search, as many rungs as are wanted.
import { h } from "./dom.js";
import { chooser, field } from "./fields.js";

/** Returns {node, read}. `fidelities` are those with names; `below()` is the name of the search's own. */
export function rungs(fidelities, below) {
  const lines = h("div", {});
  const names = fidelities.map((one) => one.name), rows = () => [...lines.children];

  function line(chosen, most) {
    const { node: which, box: whichBox } = chooser("", "evaluate again at", fidelities, chosen);
    const keep = h("input", { type: "number", min: 1, step: 1, value: String(most) });
    const keepBox = field("", "how many of each agent’s best", keep);
    const remove = h("button", { type: "button", "aria-label": "Remove this promotion", on: { click: () => { row.remove(); number(); add.focus(); } } }, "Remove");
    const row = h("div", { class: "field rung" }, h("div", { class: "fields" }, whichBox, keepBox, h("div", { class: "end" }, remove)), h("p", { class: "wrong", hidden: true }));
    row.read = () => ({ fidelity: which.value, keep: keep.validity.badInput || keep.value === "" ? "not a number" : Number(keep.value) });
    row.number = (place) => {
      row.dataset.field = `config.rungs.${place}`;
      whichBox.dataset.field = `config.rungs.${place}.fidelity`;
      keepBox.dataset.field = `config.rungs.${place}.keep`;
    };
    lines.append(row);
    number();
    which.focus();
  }

  /** Their places are what mistakes are told at. */
  function number() {
    rows().forEach((row, place) => row.number(place));
    add.disabled = rows().at(-1)?.read().fidelity === names.at(-1); // nothing is dearer than the dearest
  }

  /** One more, dearer and with fewer policies than the last. */
  function more() {
    const last = rows().at(-1)?.read(), above = names.indexOf(last?.fidelity ?? below()) + 1;
    line(names[Math.min(Math.max(above, 1), names.length - 1)], last ? Math.max(1, Math.floor(last.keep / 3) || 1) : 12);
  }

  const add = h("button", { type: "button", on: { click: more } }, "Add a promotion");
  lines.addEventListener("change", number);
  const node = h("div", { class: "field", data: { field: "config.rungs" } },
    h("h3", {}, "Promotions"),
    h("p", { class: "help" }, "After the search, the best policies of each agent and control can be evaluated again, more thoroughly. The last promotion chooses the finalists. A cheap search whose best are looked at closely tries more policies in the same time."),
    h("p", { class: "wrong", hidden: true }), lines, h("div", {}, add));
  return { node, read: () => (lines.children.length ? rows().map((row) => row.read()) : undefined) };
}
