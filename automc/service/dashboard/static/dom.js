// Elements. Whatever comes from the server goes in as text, never as markup.

export const $ = (selector, root = document) => root.querySelector(selector);

/** Returns an element. Properties: `class`, `on` (listeners), `data`, `style` (declarations), else attributes. */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Puts these in the place of what an element holds; what was waited for is there. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  node.removeAttribute("aria-busy");
  return node;
}

/** Returns a table. A column: {title, number, cell: (item) => text or nodes, across, small}; `key` marks rows. */
export function table(caption, columns, items, { row = () => ({}), cards = false, head = 0 } = {}) {
  const cells = (item) => columns.map((column, place) => {
    const properties = { class: [column.number && "num", column.across && "across", column.class].filter(Boolean).join(" ") || null };
    if (place === head) return h("th", { scope: "row", ...properties }, column.cell(item));
    return h("td", { ...properties, data: column.title && cards ? { title: column.title } : {} }, column.cell(item));
  });
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", { class: cards ? "cards" : null },
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) =>
        h("th", { scope: "col", class: column.number ? "num" : null }, column.title || h("span", { class: "hidden" }, column.label || "Actions"))))),
      h("tbody", {}, items.map((item) => h("tr", row(item), cells(item))))));
}

export const tile = (title, value, note, kind) => h("div", { class: "tile" }, title, h("b", { class: kind }, value), note);

/** Returns pairs as a list of terms; those without a value are left out. */
export const terms = (pairs) => h("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));

export const empty = (text, ...more) => h("div", { class: "empty" }, h("p", {}, text), more);

/** Shows what went wrong at a place of the page, or takes it away. */
export function notice(node, error, kind = "bad") {
  if (!error) return fill(node);
  return fill(node, h("p", { class: `notice ${kind}` }, error.message || String(error)));
}

/** Returns buttons that turn pages, and where one is; nothing where there is one page. */
export function pager(page, limit, go) {
  if (page.total <= limit && !page.offset) return [];
  const last = Math.min(page.offset + limit, page.total);
  const button = (words, offset, can) => h("button", { type: "button", disabled: !can, on: { click: () => go(offset) } }, words);
  return h("nav", { class: "pager", "aria-label": "Pages of the list" },
    button("Previous", Math.max(page.offset - limit, 0), page.offset > 0),
    h("span", { "aria-live": "polite" }, `${page.total ? page.offset + 1 : 0}–${last} of ${page.total}`),
    button("Next", page.offset + limit, last < page.total));
}

/** Asks before something that cannot be undone. Resolves to the form's values, or to null. */
export function confirm(title, text, verb, ...more) {
  const form = h("form", { method: "dialog" }, h("h2", { id: "dialog-title" }, title), h("p", {}, text), more,
    h("div", { class: "actions" },
      h("button", { value: "no" }, "Keep it"),
      h("button", { value: "yes", class: "danger" }, verb)));
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const values = dialog.returnValue === "yes" ? new FormData(form) : null;
      dialog.remove();
      resolve(values);
    });
    dialog.showModal();
  });
}

/** Calls a listener once typing has paused. */
export function calm(listener, milliseconds = 250) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => listener(...values), milliseconds);
  };
}
