// The API's OpenAPI document, to read.
import { address, get } from "./api.js";
import { $, fill, h, notice } from "./dom.js";

const named = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(named).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.type === "array") return `list of ${named(schema.items) || "anything"}`;
  return schema.type ?? "anything";
};

const body = (content) => Object.entries(content ?? {}).map(([type, { schema }]) => `${named(schema)}${type === "application/json" ? "" : ` (${type})`}`).join(", ");

function operation(method, path, one) {
  const parameters = one.parameters ?? [];
  return h("div", { class: "op" },
    h("h3", {}, h("span", { class: "method" }, method.toUpperCase()), " ", h("code", {}, path)),
    h("p", {}, one.summary, one.description && one.description !== one.summary ? `: ${one.description}` : ""),
    parameters.length ? h("ul", {}, parameters.map((each) => h("li", {}, h("code", {}, each.name), ` (${each.in}${each.required ? ", needed" : ""}): ${named(each.schema)}${each.description ? `. ${each.description}` : ""}`))) : null,
    one.requestBody ? h("p", {}, `Body: ${body(one.requestBody.content)}`) : null,
    h("p", { class: "caption" }, "Answers: ", Object.entries(one.responses).map(([status, answer]) => `${status} ${body(answer.content) || answer.description}`).join("; ")));
}

function schema(name, one) {
  const [about] = (one.description ?? "").split("\nAttributes:");
  const rest = (one.description ?? "").slice(about.length).replace("\nAttributes:\n", "");
  return h("details", { class: "op" }, h("summary", {}, name), h("p", {}, about.trim()), rest ? h("pre", { tabindex: 0, "aria-label": `Fields of ${name}` }, rest) : null,
    one.properties ? h("p", { class: "caption" }, Object.entries(one.properties).map(([key, value]) => `${key}: ${named(value)}`).join("; ")) : null);
}

try {
  const found = await get(address("openapi.json")), groups = new Map();
  for (const [path, methods] of Object.entries(found.paths)) {
    for (const [method, one] of Object.entries(methods)) {
      const tag = one.tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), operation(method, path, one)]);
    }
  }
  fill($("#reference"),
    [...groups].map(([tag, nodes]) => h("section", { class: "card" }, h("h2", {}, tag), nodes)),
    h("section", { class: "card" }, h("h2", {}, "What is asked and answered"), Object.entries(found.components?.schemas ?? {}).sort().map(([name, one]) => schema(name, one))));
} catch (error) {
  $("#reference").removeAttribute("aria-busy");
  notice($("#notice"), error);
}
