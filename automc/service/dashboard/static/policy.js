// The picture of policies, unit by unit beside the original.
import { h } from "./dom.js";

const FLOAT = 32;

/** Bits of a choice for people; empty where none were chosen. */
export function precision(choice = {}) {
  const weights = choice.weight_bits, activations = choice.activation_bits;
  if (weights === undefined && activations === undefined) return "";
  if (weights === 8 && activations === 8) return "int8";
  if (weights === FLOAT && activations === FLOAT) return "float";
  return `${weights ?? FLOAT}/${activations ?? FLOAT} bits`;
}

/** What a policy leaves of a unit: {state: kept, dropped or gone, channels, share, bits}. */
function left(unit, units, policy) {
  const choice = policy[unit.name] ?? {};
  if (choice.keep === false) return { state: "dropped" };
  if (unit.block && policy[unit.block]?.keep === false) return { state: "gone" };
  const decides = units.get(unit.group ?? unit.name) ?? unit;
  const asked = policy[decides.name]?.channels ?? decides.full;
  if (unit.full === null) return { state: "kept", channels: asked, share: null, bits: precision(choice) };
  const channels = Math.floor((unit.full * asked) / decides.full); // a layer behind heads loses all channels of each
  return { state: "kept", channels, share: channels / unit.full, bits: unit.kind === "block" ? "" : precision(choice) };
}

/** Units as far as policies tell, where the network's are not known yet. */
function guessed(policies) {
  const names = new Map();
  for (const policy of policies) {
    for (const [name, choice] of Object.entries(policy)) {
      const kind = "keep" in choice ? "block" : "channels" in choice ? "channels" : "layer";
      names.set(name, { name, kind, full: null, block: null, frozen: null, group: null });
    }
  }
  return [...names.values()];
}

function track(unit, kept) {
  if (kept.state !== "kept") return h("div", { class: `track ${kept.state}` });
  if (unit.kind === "block") return h("div", { class: "track whole" });
  if (kept.share === null || kept.share === undefined) return null;
  const fewer = kept.bits && kept.bits !== "float";
  return h("div", { class: "track" }, h("div", { class: `kept${fewer ? " fewer" : ""}`, style: { width: `${100 * kept.share}%` } }));
}

function words(unit, kept) {
  if (kept.state !== "kept") return kept.state;
  return unit.kind === "block" ? "kept" : String(kept.channels ?? "");
}

/** Returns the picture. `policies`: {name, policy} each; a null policy is the original. */
export function picture(units, policies) {
  const given = policies.map((one) => one.policy ?? {});
  const known = units.length > 0, rows = known ? units : guessed(given);
  const byName = new Map(rows.map((unit) => [unit.name, unit]));
  const bits = given.some((policy) => Object.values(policy).some((choice) => precision(choice)));
  const shown = rows.filter((unit) => unit.kind !== "layer" || bits);
  const lines = shown.map((unit) => {
    const all = given.map((policy) => left(unit, byName, policy));
    const frozen = unit.frozen ? h("small", {}, `channels not searched: ${unit.frozen}`) : null;
    const kind = `${unit.kind === "block" ? "block" : unit.block ? "inside" : ""}${all.every((kept) => kept.state !== "kept") ? " lost" : ""}`;
    return h("tr", { class: kind.trim() || null },
      h("th", { scope: "row" }, unit.name, frozen),
      all.map((kept) => [
        h("td", { class: "wide" }, track(unit, kept)),
        h("td", { class: "num" }, words(unit, kept)),
        bits ? h("td", { class: "bits" }, kept.bits ?? "") : null,
      ]),
      h("td", { class: "num" }, unit.kind === "block" ? "block" : unit.full ?? "?"));
  });
  const headings = policies.map(({ name }) => [
    h("th", { scope: "col", class: "wide" }, name),
    h("th", { scope: "col", class: "num" }, "kept"),
    bits ? h("th", { scope: "col", class: "bits" }, "bits") : null,
  ]);
  return [
    h("div", { class: "key" },
      h("span", {}, h("i", { class: "chip" }), bits ? "width that stays, float" : "width that stays"),
      bits ? h("span", {}, h("i", { class: "chip fewer" }), "in fewer bits") : null,
      h("span", {}, h("i", { class: "chip dropped" }), "block dropped")),
    known ? null : h("p", { class: "caption" }, "The original’s widths are not known here: the campaign’s folder does not say."),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Policy of ${policies.map((one) => one.name).join(" and ")}` },
      h("table", { class: policies.length > 1 ? "units both" : "units" },
        h("caption", { class: "hidden" }, "What is kept of each unit, in the network’s order"),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Unit"), headings, h("th", { scope: "col", class: "num" }, "original"))),
        h("tbody", {}, lines))),
  ];
}
