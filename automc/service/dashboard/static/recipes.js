// Recipes: what finished campaigns have found; two of them can be compared.
import { address, get } from "./api.js";
import { recipePage } from "./campaign_parts.js";
import { $, empty, fill, h, notice, pager, table } from "./dom.js";
import { budgetsOf, bytes, cost, percent, score, us, when } from "./format.js";

const LIMIT = 25;
const compare = $("#compare"), chosen = new Set();
let offset = 0;

function choose(name, on) {
  if (on) chosen.add(name);
  else chosen.delete(name);
  count();
}

function count() {
  compare.disabled = chosen.size !== 2;
  compare.textContent = chosen.size ? `Compare two (${chosen.size} chosen)` : "Compare two";
}

const share = (value, original) => h("small", {}, `${percent(value / original)} of the original`);

const COLUMNS = [
  { title: "Recipe", across: true, cell: (one) => [h("a", { href: recipePage(one.campaign) }, one.campaign), h("small", {}, `${one.task}, by ${one.agent}`)] },
  { title: "Budgets", cell: (one) => [budgetsOf(one.budgets), h("small", {}, one.device)] },
  { title: "Test score", number: true, cell: (one) => [score(one.test_score, one.metric), h("small", {}, `original ${score(one.original_test_score, one.metric)}`)] },
  { title: "Measured latency", number: true, cell: (one) => (one.measured_us ? [us(one.measured_us[1]), one.ratio ? h("small", {}, `${percent(one.ratio[1])} of the original`) : null] : "–") },
  { title: "MACs", number: true, cell: (one) => [cost("macs", one.macs), share(one.macs, one.original_macs)] },
  { title: "Weights", number: true, cell: (one) => [bytes(one.size), share(one.size, one.original_size)] },
  { title: "Made", cell: (one) => when(one.created) },
  { title: "Compare", cell: (one) => h("label", { class: "check" },
    h("input", { type: "checkbox", checked: chosen.has(one.campaign), "aria-label": `Compare ${one.campaign}`, on: { change: (event) => choose(one.campaign, event.target.checked) } })) },
];

async function look() {
  try {
    const page = await get(address("recipes"), { offset, limit: LIMIT });
    notice($("#notice"));
    compare.hidden = page.total < 2;
    fill($("#list"), page.items.length ? table("Recipes", COLUMNS, page.items, { cards: true })
      : empty("There are no recipes yet: a campaign that finishes leaves one here.", h("a", { class: "button runner", href: "/campaigns/new" }, "Start a campaign")));
    fill($("#pages"), pager(page, LIMIT, (to) => { offset = to; look(); }));
  } catch (error) {
    notice($("#notice"), error);
    $("#list").removeAttribute("aria-busy");
  }
}

compare.addEventListener("click", () => {
  const [first, second] = chosen;
  location.assign(`/compare/recipes?${new URLSearchParams({ first, second })}`);
});
count();
look();
