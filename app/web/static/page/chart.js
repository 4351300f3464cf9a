/** One look for every chart. Plotly draws; colours come from the style sheet, so both themes share one source. */

const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];
/** A second mark beside the colour: neighbouring lines differ for eyes that see no difference in hue. */
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "x"];
const CONFIG = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  displayModeBar: false,
};

/** Resolve a custom property to a colour Plotly can read. */
export function colour(name) {
  const probe = document.getElementById("colour-probe");
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

export function faded(name, share) {
  return colour(name).replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);
}

/** Line and marks of the series number `i`. */
export function series(i) {
  return {
    colour: colour(SERIES[i % SERIES.length]),
    dash: DASHES[i % DASHES.length],
    symbol: SYMBOLS[i % SYMBOLS.length],
  };
}

/** Return a line trace; `x` and `y` may hold nulls, which leave gaps. */
export function line(name, x, y, look, more = {}) {
  return {
    type: "scatter",
    name,
    x,
    y,
    mode: more.mode ?? "lines",
    connectgaps: false,
    line: { color: look.colour, width: look.width ?? 2, dash: look.dash ?? "solid", ...more.line },
    marker: { color: look.colour, symbol: look.symbol, size: look.size ?? 7 },
    ...without(more, ["mode", "line"]),
  };
}

/** An area between two curves, drawn as one closed outline. */
export function band(name, x, low, high, colourName) {
  return {
    type: "scatter",
    name,
    x: [...x, ...[...x].reverse()],
    y: [...high, ...[...low].reverse()],
    mode: "lines",
    fill: "toself",
    fillcolor: faded(colourName, 0.18),
    line: { width: 0 },
    hoverinfo: "skip",
  };
}

/** Draw into `node`. `revision` names what is looked at: while it stays, zoom and hidden series stay. */
export function draw(node, traces, layout, revision) {
  if (!globalThis.Plotly) {
    node.textContent = "The chart library did not load; every number is in the tables.";
    return;
  }
  if (!node.classList.contains("js-plotly-plot")) node.replaceChildren();
  globalThis.Plotly.react(node, traces, { ...common(), ...layout, uirevision: revision }, CONFIG);
}

/** Say why there is no chart. */
export function drawNothing(node, why) {
  if (node.classList.contains("js-plotly-plot")) globalThis.Plotly.purge(node);
  node.classList.remove("js-plotly-plot");
  node.replaceChildren(why);
}

export function axis(title, more = {}) {
  const ink = colour("--quiet");
  return {
    title: { text: title, font: { size: 12, color: ink }, standoff: 8 },
    tickfont: { size: 11, color: ink },
    gridcolor: colour("--rule"),
    linecolor: colour("--rule"),
    zerolinecolor: colour("--rule-strong"),
    zeroline: false,
    automargin: true,
    fixedrange: false,
    ...more,
  };
}

/** The range of `values` and a `share` of it more on both sides. */
export function rangeOf(values, share) {
  const known = values.filter(value => value != null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const margin = share * (high - low);
  return [low - margin, high + margin];
}

/** Tenor on a logarithmic axis with the ticks a desk thinks in. */
export function tenorAxis(days, more = {}) {
  const [low, high] = [Math.min(...days) / 1.25, Math.max(...days) * 1.25];
  const ticks = TENORS.filter(([, value]) => value >= low && value <= high);
  return axis("time to expiry", {
    type: "log",
    range: [Math.log10(low), Math.log10(high)],
    tickvals: ticks.map(([, value]) => value),
    ticktext: ticks.map(([name]) => name),
    ...more,
  });
}

const TENORS = [
  ["1h", 1 / 24],
  ["6h", 0.25],
  ["1d", 1],
  ["2d", 2],
  ["1w", 7],
  ["2w", 14],
  ["1m", 30],
  ["2m", 61],
  ["3m", 91],
  ["6m", 182],
  ["1y", 365],
  ["2y", 730],
  ["3y", 1095],
  ["5y", 1825],
  ["10y", 3650],
];

function common() {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink") },
    margin: { l: 52, r: 14, t: 34, b: 44 },
    showlegend: true,
    legend: {
      orientation: "h",
      x: 0,
      y: 1.02,
      yanchor: "bottom",
      font: { size: 11.5, color: colour("--quiet") },
      itemwidth: 30,
    },
    hovermode: "closest",
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    hoverlabel: {
      bgcolor: colour("--raised"),
      bordercolor: colour("--rule-strong"),
      font: { color: colour("--ink"), size: 12 },
    },
  };
}

function without(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}
