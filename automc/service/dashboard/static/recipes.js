// What finished campaigns have found; two of them can be compared.
import { address, get } from "./api.js";
import { best, recipePage } from "./campaign_parts.js";
import { $, calm, empty, fill, h, notice, pager, table } from "./dom.js";
import { when } from "./format.js";

const LIMIT = 25;
const filters = $("#filters"), compare = $("#compare"), chosen = new Set();
let offset = 0, asked = 0;

function choose(name, on) {
  if (on) chosen.add(name);
  else chosen.delete(name);
  count();
}

function count() {
  compare.disabled = chosen.size !== 2;
  compare.textContent = chosen.size ? `Compare two (${chosen.size} chosen)` : "Compare two";
}

const COLUMNS = [
  { title: "Recipe", across: true, cell: (one) => [h("a", { href: recipePage(one.name) }, one.name), h("small", {}, `${one.task}, by ${one.agent}`)] },
  { title: "Budget", cell: (one) => one.budget.join(", ") },
  { title: "Best", number: true, cell: best },
  { title: "Finished", cell: (one) => when(one.ended) },
  { title: "Compare", cell: (one) => h("label", { class: "check" },
    h("input", { type: "checkbox", checked: chosen.has(one.name), "aria-label": `Compare ${one.name}`, on: { change: (event) => choose(one.name, event.target.checked) } }), "compare") },
];

async function look() {
  const mine = ++asked;
  try {
    const search = filters.search.value;
    const page = await get(address("campaigns"), { state: "finished", search, offset, limit: LIMIT });
    if (mine !== asked) return;
    notice($("#notice"));
    fill($("#list"), page.items.length ? table("Recipes", COLUMNS, page.items, { cards: true })
      : search ? empty("No recipe is like that.")
        : empty("There are no recipes yet: a campaign that finishes leaves one here.", h("a", { class: "button", href: "/campaigns/new" }, "Start a campaign")));
    fill($("#pages"), pager(page, LIMIT, (to) => { offset = to; look(); }));
  } catch (error) {
    if (mine === asked) notice($("#notice"), error);
    $("#list").removeAttribute("aria-busy");
  }
}

filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("input", calm(() => { offset = 0; look(); }));
compare.addEventListener("click", () => {
  const [first, second] = chosen;
  location.assign(`/compare/recipes?${new URLSearchParams({ first, second })}`);
});
count();
look();
