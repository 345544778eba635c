// Figures, times and sizes for people, as AutoMC's reports write them.
import { h } from "./dom.js";

const facts = JSON.parse(document.body.dataset.facts);

export const UNITS = facts.units;

const NAMES = { macs: "MACs", params: "parameters", size: "size of weights", latency: "latency", memory: "memory", energy: "energy (estimate)" };
export const metricName = (metric) => NAMES[metric] ?? metric;

/** Three significant digits, never an exponent. */
export function number(value) {
  if (!value) return "0";
  const places = [99.95, 9.995, 0.9995].findIndex((bound) => Math.abs(value) >= bound);
  return value.toFixed(places < 0 ? 3 : places).replace("-", "−");
}

/** The factor and the unit in which costs up to the largest are short to write. */
export function scale(metric, largest) {
  const steps = facts.steps[metric];
  const [factor, unit] = steps.find(([bound]) => largest >= 0.9995 * bound) ?? steps.at(-1);
  return { factor, unit: metric === "macs" ? `${unit} MACs`.trim() : metric === "params" ? `${unit} parameters`.trim() : unit };
}

export function cost(metric, value) {
  if (value === null || value === undefined) return "–";
  const { factor, unit } = scale(metric, value);
  return `${number(value / factor)} ${unit}`.trim();
}

export const us = (value) => cost("latency", value);
/** Two latencies with their unit said once. */
export function between(low, high) {
  const { factor, unit } = scale("latency", high);
  return `${number(low / factor)}–${number(high / factor)} ${unit}`;
}

/** Budgets as they are read, not written. */
export const budgetsOf = (texts) => texts.map((text) => text.replace("<=", " ≤ ")).join(", ");

export const bytes = (value) => cost("size", value);

const inPercent = (metric) => Boolean(metric) && metric.startsWith("top-"); // as automc.tasks.metrics

export const scoreScale = (metric) => (inPercent(metric) ? 100 : 1);

export function score(value, metric) {
  if (value === null || value === undefined) return "–";
  return inPercent(metric) ? `${(100 * value).toFixed(2)}%` : String(Number(value.toPrecision(4)));
}

export const percent = (share, places = 1) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(places)}%`);
export const signed = (share, places = 1) => `${share >= 0 ? "+" : "−"}${Math.abs(100 * share).toFixed(places)}%`;

export function duration(seconds) {
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${Number(seconds.toPrecision(3))} s`;
}

const STEPS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** A moment as how long ago it was; pointing at it tells the moment. */
export function when(text) {
  if (!text) return "–";
  const moment = new Date(text);
  if (Number.isNaN(moment.getTime())) return text;
  const seconds = (moment.getTime() - Date.now()) / 1000;
  const [unit, length] = STEPS.find(([, bound]) => Math.abs(seconds) >= bound) ?? ["second", 1];
  const words = unit === "second" && Math.abs(seconds) < 45 ? "just now" : relative.format(Math.round(seconds / length), unit);
  return h("time", { datetime: text, title: moment.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) }, words);
}

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
