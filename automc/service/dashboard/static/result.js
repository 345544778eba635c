// What a campaign found: original, controls and best side by side, predicted against measured.
import { h, table } from "./dom.js";
import { between, bytes, cost, percent, scale, score, signed, us } from "./format.js";
import { colour, draw, plain } from "./plot.js";

const change = (value, base, metric) => {
  const words = score(value - base, metric);
  return `${value >= base ? "+" : ""}${words.replace("-", "−").replace("%", " points")}`;
};

/** Returns the comparison as a section. `open(row)` shows a network's policy. */
export function comparison(result, open) {
  const original = result.rows.find((row) => row.name === "original"), metric = result.metric;
  const costly = (of, show) => (row) => [show(of(row)), row === original || !of(original) ? null : h("small", {}, percent(of(row) / of(original)))];
  const scored = (of) => (row) => [score(of(row), metric), row === original ? null : h("small", {}, change(of(row), of(original), metric))];
  const predicted = (row) => {
    if (row.predicted.latency === null) return ["–", h("small", {}, "no table")];
    return [us(row.predicted.latency), row.model ? null : h("small", {}, `error ${signed(row.predicted.latency / row.measured.us - 1)}`)];
  };
  const measured = (row) => [us(row.measured.us), row.model ? null : h("small", {}, between(row.measured.low, row.measured.high)),
    row === original ? null : h("small", {}, percent(row.measured.ratio))];
  const who = (row) => (row === original ? null : row.name === "best" ? h("small", {}, `by ${row.agent}`) : h("small", {}, "control"));
  const columns = [
    { title: "Network", across: true, cell: (row) => [row.policy ? h("button", { type: "button", class: "link", on: { click: () => open(row) } }, row.name) : row.name, who(row)] },
    ...(result.rows.some((row) => row.tuned) ? [{ title: `Fine-tuned test ${metric}`, number: true, cell: (row) => (row.tuned ? score(row.tuned.test_score, metric) : "–") }] : []),
    { title: `Test ${metric}`, number: true, cell: scored((row) => row.test_score) },
    { title: `Search ${metric}`, number: true, cell: scored((row) => row.search_score) },
    { title: original.model ? `Latency by the model of ${original.model}` : "Measured latency", number: true, cell: measured },
    ...(original.model ? [] : [{ title: "Predicted latency", number: true, cell: predicted }]),
    { title: "MACs", number: true, cell: costly((row) => row.predicted.macs, (value) => cost("macs", value)) },
    { title: "Weights", number: true, cell: costly((row) => row.predicted.size, bytes) },
    { title: "ONNX file", number: true, cell: costly((row) => row.file_size, bytes) },
    { title: "Keeps budget", cell: (row) => (row.keeps_budget ? "yes" : "no") },
  ];
  return table("Original, controls and best", columns, result.rows, { cards: true, row: (row) => (row.name === "best" ? { class: "chosen" } : {}) });
}

/** Networks that were measured, for plots: {name, us, low, high, score, predicted, open}. */
export function measuredOf(result) {
  if (result.rows.some((row) => row.model)) return [];
  const rows = result.rows.map((row) => ({ name: row.name, ...row.measured, score: row.search_score, predicted: row.predicted.latency }));
  const finalists = result.evaluations.filter((one) => one.measured && one.score !== null && !rows.some((row) => row.us === one.measured.us))
    .map((one) => ({ name: `${one.agent} ${one.number}`, ...one.measured, score: one.score, predicted: one.predicted.latency, open: [one.agent, one.number] }));
  return [...rows, ...finalists];
}

/** Draws predicted over measured latency with a band of ±10%; says whether there is anything to draw. */
export function drawPredictions(node, result) {
  const points = measuredOf(result).filter((one) => one.predicted !== null && one.predicted !== undefined);
  if (!points.length) return false;
  const most = Math.max(...points.flatMap((one) => [one.high, one.predicted])) * 1.08;
  const { factor, unit } = scale("latency", most), end = most / factor;
  const named = points.filter((one) => !one.open), others = points.filter((one) => one.open);
  const marks = (list, size, symbol, name) => ({
    type: "scatter", mode: "markers", x: list.map((one) => one.us / factor), y: list.map((one) => one.predicted / factor),
    error_x: { type: "data", symmetric: false, array: list.map((one) => (one.high - one.us) / factor), arrayminus: list.map((one) => (one.us - one.low) / factor), thickness: 1, color: colour("soft") },
    text: list.map((one) => `<b>${plain(one.name)}</b><br>measured ${us(one.us)}, predicted ${us(one.predicted)}, ${signed(one.predicted / one.us - 1)}`),
    hovertemplate: "%{text}<extra></extra>", marker: { size, symbol, color: colour(name) },
  });
  draw(node, () => ({
    traces: [
      { type: "scatter", mode: "lines", x: [0, end, end, 0], y: [0, 1.1 * end, 0.9 * end, 0], fill: "toself", fillcolor: "rgba(128,139,153,0.16)", line: { width: 0 }, hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x: [0, end], y: [0, end], line: { color: colour("soft"), width: 1.5 }, hoverinfo: "skip" },
      marks(others, 8, "circle", "plot0"), marks(named, 12, "diamond", "plot1"),
    ],
    x: { text: `measured latency, ${unit}`, range: [0, end] },
    y: { text: `predicted latency, ${unit}`, range: [0, end] },
    told: `Predicted against measured latency of ${points.length} networks: ${named.map((one) => `${one.name} ${signed(one.predicted / one.us - 1)}`).join(", ")}`,
  }));
  return true;
}
