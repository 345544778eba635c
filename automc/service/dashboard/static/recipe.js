// One recipe: figures, where it is from, its policy layer by layer, downloads.
import { address, all, get } from "./api.js";
import { campaignPage } from "./campaign_parts.js";
import { $, fill, h, notice, terms } from "./dom.js";
import { bytes, when } from "./format.js";
import { picture } from "./policy.js";
import { figures, load, origin } from "./recipe_parts.js";

const name = $("#recipe").dataset.name;

$("#compare").addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(`/compare/recipes?${new URLSearchParams({ first: name, second: event.target.second.value })}`);
});

try {
  const [found, campaign] = await Promise.all([load(name), get(address("campaigns", name))]);
  const link = (where, words, about) => h("li", {}, h("a", { href: where, download: true }, words), h("span", { class: "soft" }, ` ${about}`));
  fill($("#body"),
    h("p", { class: `notice ${found.brought ? "good" : "warn"}` }, found.verdict),
    h("div", { class: "two" },
      h("section", { class: "card" }, h("h2", {}, "Figures"), figures([found])),
      h("div", {},
        h("section", { class: "card" }, h("h2", {}, "Where it is from"), terms([["Campaign", h("a", { href: campaignPage(name) }, name)], ["Made", when(found.recipe.created_at)], ...origin(found)])),
        h("section", { class: "card" }, h("h2", {}, "Downloads"), h("ul", { class: "plain" },
          campaign.files.map((file) => link(address("campaigns", name, "files", file.name), file.name, bytes(file.size))),
          link(address("campaigns", name, "archive"), `${name}.campaign`, "all of it, for another server"))))),
    h("section", { class: "card" }, h("h2", {}, "Layer by layer"), picture(found.units, [{ name: "recipe", policy: found.recipe.policy }])));
  const others = (await all(address("recipes"))).filter((one) => one.campaign !== name);
  fill($("#compare select"), others.map((one) => h("option", {}, one.campaign)));
  $("#compare").hidden = !others.length;
} catch (error) {
  $("#body").removeAttribute("aria-busy");
  notice($("#notice"), error);
}
