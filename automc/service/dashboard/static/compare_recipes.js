// Two recipes side by side: figures, origin, and layer by layer.
import { recipePage } from "./campaign_parts.js";
import { $, fill, h, notice } from "./dom.js";
import { picture } from "./policy.js";
import { figures, load, origin } from "./recipe_parts.js";

const asked = new URLSearchParams(location.search), names = [asked.get("first"), asked.get("second")];

try {
  if (!names[0] || !names[1]) throw new Error("Name two recipes: tick two under Recipes, then press Compare.");
  const [first, second] = await Promise.all(names.map(load));
  const same = first.recipe.model_digest === second.recipe.model_digest;
  const rows = origin(first).map(([title, value], place) => [title, value, origin(second)[place][1]]).filter(([, one, other]) => one || other);
  const comparison = same
    ? [h("section", { class: "card" }, h("h2", {}, "Layer by layer"), picture(first.units, [{ name: names[0], policy: first.recipe.policy }, { name: names[1], policy: second.recipe.policy }]))]
    : [first, second].map((one) => h("section", { class: "card" }, h("h2", {}, `Layer by layer: ${one.name}`), picture(one.units, [{ name: one.name, policy: one.recipe.policy }])));
  fill($("#comparison"),
    h("p", {}, h("a", { href: recipePage(names[0]) }, names[0]), " beside ", h("a", { href: recipePage(names[1]) }, names[1]), "."),
    same ? null : h("p", { class: "notice warn" }, "They start from different networks, so their layers are shown apart."),
    h("section", { class: "card" }, h("h2", {}, "Figures"), figures([first, second])),
    h("section", { class: "card" }, h("h2", {}, "Where they are from"), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Where they are from" }, h("table", {},
      h("thead", {}, h("tr", {}, ["What", ...names].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, rows.map(([title, one, other]) => h("tr", {}, h("th", { scope: "row" }, title), h("td", {}, String(one ?? "–")), h("td", {}, String(other ?? "–")))))))),
    comparison);
} catch (error) {
  $("#comparison").removeAttribute("aria-busy");
  notice($("#notice"), error);
}
