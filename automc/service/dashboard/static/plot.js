// Plots by plotly.js, in the page's colours.

const CONFIG = { displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "", modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
const drawn = new Map();

/** A colour of the style sheet as plotly needs it. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Text for plotly, which would take some of it for markup. */
export const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** Draws, and again whenever the theme changes. `make` returns {traces, x, y, layout, told, click}. */
export function draw(node, make) {
  drawn.set(node, make);
  const { traces, x = {}, y = {}, layout = {}, told, click } = make();
  node.setAttribute("role", "figure");
  node.setAttribute("aria-label", told);
  const grid = colour("line"), soft = colour("soft");
  const axis = { gridcolor: grid, zeroline: false, automargin: true, linecolor: grid };
  const title = ({ text, ...rest }) => ({ ...axis, ...rest, title: { text, standoff: 8 } });
  Plotly.react(node, traces, {
    margin: { l: 10, r: 24, t: 12, b: 10 },
    height: node.classList.contains("tall") ? 420 : 320,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 13, color: soft },
    showlegend: false, // the page has its own, which also fits a phone
    hoverlabel: { align: "left" },
    modebar: { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: colour("accent") },
    dragmode: false,
    ...layout,
    xaxis: title(x),
    yaxis: title(y),
  }, CONFIG);
  if (click && !node.dataset.clicks) {
    node.dataset.clicks = "1";
    node.on("plotly_click", (event) => drawn.get(node)().click(event.points[0]));
  }
}

/** A line from bottom to top, with words beside it. */
export function upright(at, words) {
  const red = colour("bad");
  return {
    shape: { type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: red, dash: "dash", width: 1.5 } },
    annotation: { x: at, yref: "paper", y: 0.02, text: plain(words), showarrow: false, xanchor: "right", xshift: -4, font: { color: red } },
  };
}

addEventListener("theme", () => { for (const [node, make] of drawn) if (!node.hidden) draw(node, make); });
