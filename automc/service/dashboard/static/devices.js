// Devices that campaigns may name, and latency tables.
import { address, get } from "./api.js";
import { $, empty, fill, h, notice, table } from "./dom.js";
import { percent, signed, when } from "./format.js";

const KINDS = { local: "this server", remote: "far away", paper: "on paper" };
const tablePage = (id) => `/tables/${encodeURIComponent(id)}`;

function validated(one) {
  const newest = one.validations.at(-1);
  if (!newest) return h("span", { class: "soft" }, "never validated");
  return [`${percent(newest.rmspe)} RMSPE`, h("small", {}, `${percent(newest.within10, 0)} within ±10%, bias ${signed(newest.bias)}`)];
}

const DEVICES = [
  { title: "Device", cell: (one) => one.name },
  { title: "Where", cell: (one) => KINDS[one.kind] },
  { title: "What it is", across: true, cell: (one) => one.what },
  { title: "Latency table", cell: (one) => (one.table ? h("a", { href: tablePage(one.table) }, one.table) : one.kind === "paper" ? "needs none" : "none yet") },
];

const TABLES = [
  { title: "Table", across: true, cell: (one) => [h("a", { href: tablePage(one.id) }, one.id), h("small", {}, one.imported ? `imported from ${one.imported}` : one.device.processor)] },
  { title: "Runtime", cell: (one) => [one.device.runtime, h("small", {}, `threads ${one.device.threads}, batch ${one.device.batch}`)] },
  { title: "Operators", number: true, cell: (one) => String(one.operators) },
  { title: "Off by", number: true, cell: validated },
  { title: "Measured", cell: (one) => when(one.measured_at) },
];

async function show(what, node, make) {
  try {
    fill(node, make(await get(address(what))));
  } catch (error) {
    notice(node, error);
    node.removeAttribute("aria-busy");
  }
}

show("devices", $("#devices"), (items) => table("Devices", DEVICES, items, { cards: true }));
show("tables", $("#tables"), (items) => (items.length ? table("Latency tables", TABLES, items, { cards: true })
  : empty("There is no latency table yet. A campaign measures what it needs; on the server, this measures one ahead:", h("code", {}, "automc latency measure TASK"))));
