/** Marks of the quotes a smile was fitted to; vols go onto the charts in percent. */

import { colour } from "./chart.js";
import { words } from "./figures.js";

export const inPercent = vols => vols.map(vol => (vol == null ? null : 100 * vol));

/** Less than a quote that counts, and still to be seen on both grounds. */
const UNUSED_OPACITY = 0.6;
const SIDES = [
  { name: "bid", column: "bid_vol", symbol: "triangle-up", colourName: "--series-3" },
  { name: "ask", column: "ask_vol", symbol: "triangle-down", colourName: "--series-2" },
];

/** Bids and asks that were fitted to, and, hollow and faint, those that were not. */
export function quoteMarks(quotes, place) {
  if (!quotes) return [];
  const rows = quotes.strike.map((_, i) => i);
  const used = rows.filter(i => quotes.used[i]);
  const fitted = SIDES.map(side => marks(side.name, points(quotes, place, side, used), {}));
  const others = rows.filter(i => !quotes.used[i]);
  const unused = SIDES.flatMap(side => points(quotes, place, side, others));
  return [...fitted, marks("not fitted to", unused, { opacity: UNUSED_OPACITY })].filter(({ x }) => x.length);
}

function marks(name, shown, look) {
  return {
    type: "scatter",
    mode: "markers",
    name,
    x: shown.map(({ x }) => x),
    y: shown.map(({ y }) => y),
    text: shown.map(({ words }) => words),
    hovertemplate: "%{text} %{y:.2f} % at %{x:,}<extra></extra>",
    marker: {
      size: 7,
      color: shown.map(({ ink }) => ink),
      symbol: shown.map(({ symbol }) => symbol),
      ...look,
    },
  };
}

/** One side of the quotes in `rows`, where it has a vol. */
function points(quotes, place, { name, column, symbol, colourName }, rows) {
  const [where, fates, ink] = [whereOf(quotes, place), fatesOf(quotes), colour(colourName)];
  return rows
    .filter(i => quotes[column][i] != null)
    .map(i => ({
      x: where[i],
      y: 100 * quotes[column][i],
      words: quotes.used[i] ? name : `${name}, ${fates[i]}:`,
      symbol: quotes.used[i] ? symbol : `${symbol}-open`,
      ink,
    }));
}

/** Mid less model in vol points, with the half-spread as its bar: a bar across zero holds the model's vol. */
export function residualMarks(quotes, place) {
  const error = quotes.mid_vol.map((mid, i) => difference(mid, quotes.model_vol[i]));
  if (!error.some(each => each != null)) return [];
  const half = quotes.ask_vol.map((ask, i) => difference(ask, quotes.mid_vol[i]));
  const missed = error.map((each, i) => each != null && Math.abs(each) > half[i]);
  const used = quotes.used;
  return [
    {
      type: "scatter",
      mode: "markers",
      name: "mid − model, bar: bid to ask",
      x: whereOf(quotes, place),
      y: inPercent(error),
      yaxis: "y2",
      showlegend: false,
      text: fatesOf(quotes).map((fate, i) => (missed[i] ? `${fate}, outside bid and ask` : fate)),
      hovertemplate: "mid − model %{y:+.2f} pts at %{x:,}<br>%{text}<extra></extra>",
      error_y: {
        type: "data",
        array: half.map(each => (each == null ? 0 : 100 * each)),
        color: colour("--rule-strong"),
        thickness: 1.2,
        width: 0,
      },
      marker: {
        size: missed.map(out => (out ? 7 : 5)),
        color: missed.map(out => colour(out ? "--bad" : "--series-1")),
        symbol: used.map((each, i) => (missed[i] ? "x" : "circle") + (each ? "" : "-open")),
        opacity: used.map(each => (each ? 1 : UNUSED_OPACITY)),
        line: { width: 0 },
      },
    },
  ];
}

/** Vols that the chart must show: what was fitted to. The rest may lie anywhere, and is found by zooming out. */
export function fittedVols(quotes) {
  return quotes ? [...quotes.bid_vol, ...quotes.ask_vol].filter((_, i) => quotes.used[i % quotes.used.length]) : [];
}

/** What is said of quotes that were not fitted to, and how many of these lie where the drawn `smile` does not reach. */
export function unfittedWords(quotes, smile) {
  const meaning = "Hollow marks were not fitted to; point at one for the reason.";
  if (!quotes || !smile) return meaning;
  const [first, last] = [smile.strike[0], smile.strike.at(-1)];
  const beyond = quotes.strike.filter((strike, i) => !quotes.used[i] && (strike < first || strike > last)).length;
  return beyond ? `${meaning} ${beyond} of them lie farther out than what is drawn.` : meaning;
}

/** The model of the surface before, at its own quotes. */
export function previousModel(quotes, place) {
  return quotes && { x: whereOf(quotes, place), vol: quotes.model_vol };
}

/** The quote the model misses by most, which every document names. */
export function worstQuote({ fit: { worst }, forward }, place) {
  const x = place === "strike" ? worst.strike : Math.log(worst.strike / forward);
  const ink = colour("--series-2");
  return [
    {
      type: "scatter",
      mode: "lines+markers",
      name: "largest error: bid to ask",
      x: [x, x],
      y: inPercent([worst.bid_vol, worst.ask_vol]),
      line: { color: ink, width: 2 },
      marker: { color: ink, size: 9, symbol: ["triangle-up", "triangle-down"] },
      hovertemplate: "%{y:.2f} % at %{x:,}<extra></extra>",
    },
  ];
}

function whereOf(quotes, place) {
  return place === "strike" ? quotes.strike : quotes.log_moneyness;
}

/** What became of each quote, in words. */
function fatesOf({ strike, type, used, dropped }) {
  const reasons = new Map(dropped.map(each => [each.type + each.strike, words(each.reason)]));
  return strike.map((each, i) => (used[i] ? "used" : `not used: ${reasons.get(type[i] + each)}`));
}

function difference(a, b) {
  return a == null || b == null ? null : a - b;
}
