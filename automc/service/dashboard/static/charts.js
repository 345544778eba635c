// A campaign's plots: score against cost, and each agent's best so far.
import { fill, h } from "./dom.js";
import { cost, metricName, scale, score, scoreScale } from "./format.js";
import { colour, draw, plain, upright } from "./plot.js";

const SYMBOLS = [["square", "■"], ["triangle-up", "▲"], ["diamond", "◆"], ["triangle-down", "▼"], ["pentagon", "⬟"], ["hexagon", "⬢"]];

/** How each agent is drawn: who was asked for as circles, controls by symbols of their own. */
export function looks(agents, asked) {
  const controls = agents.filter((name) => name !== asked).sort();
  const found = { [asked]: { symbol: "circle", glyph: "●", plot: "plot0", control: false } };
  controls.forEach((name, place) => {
    const [symbol, glyph] = SYMBOLS[place % SYMBOLS.length];
    found[name] = { symbol, glyph, plot: `plot${1 + (place % 5)}`, control: true };
  });
  return found;
}

/** Evaluations that none beats in both cost and score, cheapest first. */
function front(rows, metric, better) {
  const found = [];
  for (const row of [...rows].sort((a, b) => a.predicted[metric] - b.predicted[metric] || better * (b.score - a.score))) {
    if (!found.length || better * (row.score - found.at(-1).score) > 0) found.push(row);
  }
  return found;
}

/** Those that can be compared: scored, at the highest rung that any reached. */
function compared(rows) {
  const scored = rows.filter((row) => row.score !== null);
  const top = Math.max(0, ...scored.map((row) => row.rung));
  return scored.filter((row) => row.rung === top);
}

const entry = (glyph, name, words) => h("span", {}, h("b", { style: { color: `var(--${name})` }, "aria-hidden": "true" }, glyph), words);

/** Draws score against predicted cost, what was measured, front and budget. `open(agent, number)` is called for a click. */
export function drawFront(node, key, campaign, rows, measured, metric, open) {
  const shown = compared(rows).filter((row) => row.predicted[metric] !== null);
  const styles = looks([...new Set(rows.map((row) => row.agent))], campaign.agent);
  const limit = campaign.limits[metric];
  const beside = metric === "latency" ? measured : [];
  const values = [...shown.map((row) => row.predicted[metric]), ...beside.map((one) => one.us)];
  const most = Math.max(1e-9, ...values, limit ?? 0);
  const { factor, unit } = scale(metric, most);
  const tall = scoreScale(campaign.metric), better = campaign.higher_is_better ? 1 : -1;
  const line = front(shown, metric, better);
  const names = Object.keys(styles).filter((name) => shown.some((row) => row.agent === name));
  fill(key,
    names.map((name) => entry(styles[name].glyph, styles[name].plot, styles[name].control ? `${name} (control)` : name)),
    entry("━", "soft", "front"),
    beside.length ? entry("☆", "ink", "measured") : null,
    limit ? entry("┆", "bad", `budget ${cost(metric, limit)}`) : null);
  draw(node, () => {
    const marks = names.map((name) => {
      const mine = shown.filter((row) => row.agent === name);
      return {
        type: "scatter", mode: "markers", name: plain(name),
        x: mine.map((row) => row.predicted[metric] / factor), y: mine.map((row) => tall * row.score),
        customdata: mine.map((row) => [row.agent, row.number]),
        text: mine.map((row) => `<b>${plain(row.agent)}</b>, number ${row.number}<br>${score(row.score, campaign.metric)}, predicted ${cost(metric, row.predicted[metric])}`),
        hovertemplate: "%{text}<extra></extra>",
        marker: { color: colour(styles[name].plot), symbol: styles[name].symbol, size: 10, opacity: 0.85 },
      };
    });
    const measures = beside.map((one) => ({
      type: "scatter", mode: "markers", x: [one.us / factor], y: [tall * one.score], customdata: one.open ? [one.open] : undefined,
      error_x: { type: "data", symmetric: false, array: [(one.high - one.us) / factor], arrayminus: [(one.us - one.low) / factor], thickness: 1.5, color: colour("soft") },
      hovertemplate: `<b>${plain(one.name)}</b>, measured<br>${cost("latency", one.us)}, ${score(one.score, campaign.metric)}<extra></extra>`,
      marker: { symbol: one.name === "original" ? "circle-open" : "star-open", size: one.name === "best" ? 18 : 13, color: colour("ink"), line: { width: 1.5 } },
    }));
    const path = { type: "scatter", mode: "lines", x: line.map((row) => row.predicted[metric] / factor), y: line.map((row) => tall * row.score), line: { color: colour("soft"), width: 1.5, shape: "hv" }, hoverinfo: "skip" };
    const mark = limit ? upright(limit / factor, `budget ${cost(metric, limit)}`) : null;
    return {
      traces: [path, ...marks, ...measures],
      x: { text: `${measures.length ? "" : "predicted "}${["macs", "params"].includes(metric) ? unit : `${metricName(metric)}, ${unit}`}` },
      y: { text: campaign.metric ?? "score", ticksuffix: tall === 100 ? "%" : "" },
      layout: mark ? { shapes: [mark.shape], annotations: [mark.annotation] } : {},
      told: `Score against ${metricName(metric)} of ${shown.length} evaluations; ${line.length} on the front. The list of evaluations has the same figures.`,
      click: (point) => point.customdata && open(...point.customdata),
    };
  });
}

/** Draws each agent's best score so far; what is over a budget does not count, but for controls. */
export function drawHistory(node, key, campaign, rows) {
  const styles = looks([...new Set(rows.map((row) => row.agent))], campaign.agent);
  const over = (row) => Object.entries(campaign.limits).some(([metric, limit]) => row.predicted[metric] > limit);
  const tall = scoreScale(campaign.metric), best = campaign.higher_is_better ? Math.max : Math.min;
  const longest = Math.max(1, ...rows.filter((row) => !row.rung).map((row) => row.number + 1));
  const runs = Object.keys(styles).map((name) => {
    const kept = rows.filter((row) => row.agent === name && row.score !== null && !row.rung && (styles[name].control || !over(row)));
    kept.sort((a, b) => a.number - b.number);
    let so;
    return { name, kept, y: kept.map((row) => { so = so === undefined ? row.score : best(so, row.score); return tall * so; }) };
  }).filter((run) => run.kept.length);
  fill(key, runs.map(({ name }) => entry("━", styles[name].plot, styles[name].control ? `${name} (control)` : name)));
  draw(node, () => ({
    traces: runs.map(({ name, kept, y }) => ({
      type: "scatter", mode: "lines+markers", name: plain(name),
      x: [...kept.map((row) => row.number + 1), longest], y: [...y, y.at(-1)],
      line: { color: colour(styles[name].plot), width: styles[name].control ? 1.5 : 2.5, shape: "hv", dash: styles[name].control ? "dash" : "solid" },
      marker: { size: styles[name].control ? 3 : 5, symbol: styles[name].symbol },
      hovertemplate: `${plain(name)}: %{y:.4g}${tall === 100 ? "%" : ""} after %{x}<extra></extra>`,
    })),
    x: { text: "evaluations of the agent", range: [0.5, longest + 0.5], ...(longest < 8 ? { dtick: 1 } : {}) },
    y: { text: `best ${campaign.metric ?? "score"} so far`, ticksuffix: tall === 100 ? "%" : "" },
    told: `Best score so far: ${runs.map(({ name, y }) => `${name} ${score(y.at(-1) / tall, campaign.metric)}`).join(", ") || "none yet"}`,
  }));
}
