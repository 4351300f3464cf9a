/** Marks of the quotes a smile was fitted to; vols go onto the charts in percent. */

import { colour } from "./chart.js";

export const inPercent = vols => vols.map(vol => (vol == null ? null : 100 * vol));

/** Bid and ask of every quote, hollow where it was not fitted to; nothing where the service publishes none. */
export function quoteMarks(quotes, slice, place) {
  if (!quotes) return [];
  const where =
    place === "strike" ? quotes.strike : (quotes.log_moneyness ?? quotes.strike.map(k => Math.log(k / slice.forward)));
  const side = (name, vols, symbol, colourName) => ({
    type: "scatter",
    mode: "markers",
    name,
    x: where,
    y: inPercent(vols),
    hovertemplate: `${name} %{y:.2f} % at %{x:,}<extra></extra>`,
    marker: {
      size: 7,
      color: colour(colourName),
      symbol: quotes.used.map(used => (used ? symbol : `${symbol}-open`)),
      opacity: 0.9,
    },
  });
  return [
    side("bid", quotes.bid_vol, "triangle-up", "--series-3"),
    side("ask", quotes.ask_vol, "triangle-down", "--series-2"),
  ];
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
