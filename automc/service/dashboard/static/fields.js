// Fields of a form from a JSON schema: what pydantic says of a model.
import { h } from "./dom.js";

let count = 0;

/** What the schema says of a field. */
const told = (property) => (property.description ?? "").replace(/`/g, "");

/** Follows references, and takes the alternative that is not null. */
export function resolve(schema, root) {
  if (schema.$ref) return { ...resolve(root.$defs[schema.$ref.split("/").at(-1)], root), ...("default" in schema ? { default: schema.default } : {}) };
  const some = schema.anyOf?.filter((one) => one.type !== "null");
  if (some?.length) return { ...resolve(some[0], root), default: schema.default, blank: some.length < schema.anyOf.length };
  return schema;
}

/** A control with its label, its help, and a place for what is wrong with it. */
export function field(path, label, control, help) {
  const id = `field${++count}`;
  control.id = id;
  const about = help ? h("p", { class: "help", id: `${id}-help` }, help) : null;
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  control.setAttribute("aria-describedby", [about && `${id}-help`, `${id}-wrong`].filter(Boolean).join(" "));
  const words = h("label", { class: "label", for: id }, label);
  const tick = control.type === "checkbox";
  return h("div", { class: "field", data: { field: path } },
    tick ? h("div", { class: "check" }, control, " ", words) : [words, control], about, wrong);
}

/** A choice among named things; below it, what the chosen one is. */
export function chooser(path, label, items, chosen) {
  const node = h("select", {}, items.map((one) => h("option", {}, one.name)));
  if (items.some((one) => one.name === chosen)) node.value = chosen;
  const box = field(path, label, node, " ");
  const tell = () => { box.querySelector(".help").textContent = items.find((one) => one.name === node.value)?.what ?? ""; };
  node.addEventListener("change", tell);
  tell();
  return { node, box, tell };
}

/** A field for one property of a model: {node, read}. */
export function single(root, key, path) {
  const one = control(resolve(root.properties[key], root));
  return { node: field(path, key.replaceAll("_", " "), one.node, told(root.properties[key])), read: one.read };
}

const list = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);

/** A control for a schema: {node, read}. `read` returns undefined for what stays at its default. */
export function control(schema) {
  const standard = schema.default;
  if (schema.type === "boolean") {
    const node = h("input", { type: "checkbox", checked: standard === true });
    return { node, read: () => (node.checked === (standard === true) ? undefined : node.checked), write: (value) => { node.checked = value; } };
  }
  if (schema.enum) {
    const node = h("select", {}, schema.enum.map((value) => h("option", { selected: value === standard }, value)));
    return { node, read: () => (node.value === standard ? undefined : node.value), write: (value) => { node.value = value; } };
  }
  const written = (value) => (value === null || value === undefined ? "" : Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value));
  const numeric = schema.type === "integer" || schema.type === "number";
  const hint = schema.type === "array" ? "with commas between" : schema.blank ? "none" : null;
  const node = h("input", {
    type: numeric ? "number" : "text", value: written(standard), placeholder: hint,
    min: schema.minimum ?? null, max: schema.maximum ?? null, step: schema.type === "integer" ? 1 : numeric ? "any" : null,
  });
  const parse = (text) => {
    if (numeric) return Number(text);
    if (schema.type === "array") return list(text).map((part) => (["integer", "number"].includes(schema.items?.type) && part !== "" && !Number.isNaN(Number(part)) ? Number(part) : part));
    if (schema.type === "object") {
      try {
        return JSON.parse(text || "{}");
      } catch {
        return text; // the server says what is wrong with it
      }
    }
    return text;
  };
  const read = () => {
    if (node.validity.badInput) return "not a number";
    const text = node.value.trim();
    if (text === written(standard)) return undefined;
    if (text === "") return schema.type === "array" ? [] : schema.blank ? null : undefined;
    return parse(text);
  };
  return { node, read, write: (value) => { node.value = written(value); } };
}

/** Fields for a model's properties: {nodes, read, write}. `read` returns only what is not at its default. */
export function model(schema, root, path, { leave = [], about = "" } = {}) {
  const controls = {};
  const nodes = Object.entries(schema.properties ?? {}).filter(([key]) => !leave.includes(key)).map(([key, property]) => {
    controls[key] = control(resolve(property, root));
    return field(`${path}.${key}`, `${about} ${key.replaceAll("_", " ")}`.trim(), controls[key].node, told(property));
  });
  const read = () => Object.fromEntries(Object.entries(controls).map(([key, one]) => [key, one.read()]).filter(([, value]) => value !== undefined));
  const write = (values) => { for (const [key, value] of Object.entries(values)) controls[key]?.write(value); };
  return { nodes, read, write };
}

/** Puts mistakes at their fields; returns those that have none, and the first field with one. */
export function showMistakes(form, mistakes) {
  for (const node of form.querySelectorAll("[data-field]")) {
    const wrong = node.querySelector(":scope > .wrong");
    wrong.hidden = true;
    for (const one of node.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  }
  const rest = [];
  for (const { field: where, message } of mistakes) {
    const parts = where.replace(/^body\./, "").split(".");
    let node = null;
    while (parts.length && !(node = form.querySelector(`[data-field="${CSS.escape(parts.join("."))}"]`))) parts.pop();
    if (!node) {
      rest.push({ field: where, message });
      continue;
    }
    const wrong = node.querySelector(":scope > .wrong");
    wrong.textContent = wrong.hidden ? message : `${wrong.textContent}; ${message}`;
    wrong.hidden = false;
    const control = node.querySelector("input, select, textarea");
    control?.setAttribute("aria-invalid", "true");
    for (let above = node.closest("details"); above; above = above.parentElement.closest("details")) above.open = true;
  }
  return { rest, first: form.querySelector("[aria-invalid]") };
}
