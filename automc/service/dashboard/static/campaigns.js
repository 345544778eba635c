// The list of campaigns, kept up to date.
import { address, get } from "./api.js";
import { $, calm, empty, fill, h, notice, pager, table } from "./dom.js";
import { bar, best, campaignPage, stateOf } from "./campaign_parts.js";
import { budgetsOf, when } from "./format.js";

const LIMIT = 25;
const OFTEN = 2000, SELDOM = 10000; // milliseconds between two looks, with and without something under way
const filters = $("#filters");
let offset = 0, timer, asked = 0, shown = "";

const COLUMNS = [
  { title: "Campaign", across: true, cell: (one) => [h("a", { href: campaignPage(one.name) }, one.name), h("small", {}, `${one.task}, by ${one.agent}`)] },
  { title: "State", cell: (one) => stateOf(one) },
  { title: "Progress", cell: (one) => bar(one) },
  { title: "Budget", cell: (one) => budgetsOf(one.budget) },
  { title: "Best so far", number: true, cell: (one) => best(one) },
  { title: "Made", cell: (one) => [when(one.created), h("small", {}, one.owner)] },
];

async function look() {
  clearTimeout(timer);
  const mine = ++asked;
  const query = Object.fromEntries(new FormData(filters));
  let pause = SELDOM;
  try {
    const page = await get(address("campaigns"), { ...query, offset, limit: LIMIT });
    if (mine !== asked) return; // somebody typed meanwhile
    notice($("#notice"));
    show(page, Boolean(query.search || query.state));
    if (page.items.some((one) => ["queued", "running"].includes(one.state))) pause = OFTEN;
  } catch (error) {
    if (mine !== asked) return;
    notice($("#notice"), error);
    $("#list").removeAttribute("aria-busy");
  }
  if (!document.hidden) timer = setTimeout(look, pause);
}

function show(page, filtered) {
  const text = JSON.stringify(page);
  if (text === shown) return; // nothing has changed: whoever reads or is about to press is left alone
  shown = text;
  const list = $("#list"), focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  if (page.items.length) fill(list, table("Campaigns", COLUMNS, page.items, { cards: true }));
  else if (filtered) fill(list, empty("No campaign is like that. Change the search or the state above."));
  else fill(list, empty("There are no campaigns yet. A campaign searches for the best way to compress a network for a budget.", h("a", { class: "button runner", href: "/campaigns/new" }, "Start the first one")));
  if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  fill($("#pages"), pager(page, LIMIT, (to) => { offset = to; look(); }));
}

function changed() {
  offset = 0;
  look();
}

filters.addEventListener("input", calm(changed));
filters.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
look();
