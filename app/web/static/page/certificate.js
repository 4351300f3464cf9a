/** What is proven about arbitrage, how close it comes, and where. */

import { axis, colour, draw, drawNothing, line, series } from "./chart.js";
import { card, element, setText, table, verdict } from "./element.js";
import { day, margin, plain, strike, words } from "./figures.js";
import { known } from "./state.js";

const MEANING = {
  exact: "Proven on the whole line of strikes, from the published parameters alone: no grid, no sampling.",
  grid: "Evaluated at points: it can find arbitrage, it proves nothing between them.",
};
const BOUNDS = [
  {
    kind: "butterfly",
    key: "min_butterfly_g",
    label: "Butterfly, Durrleman's g",
    rule: "≥ 0",
    of: value => value,
    words: "where g is negative, so is the density of the price at expiry",
  },
  {
    kind: "calendar",
    key: "min_calendar_gap",
    label: "Calendar, variance ratio − 1",
    rule: "≥ 0",
    of: value => value,
    words:
      "total variance of an expiry over that of the one before, less 1; negative, and the later option is the cheaper one",
  },
  {
    kind: "wing",
    key: "max_wing_slope",
    label: "Wings, slope of variance",
    rule: "≤ 2",
    of: value => 2 - value,
    words: "total variance by log-moneyness at infinity; above 2 no price can be that dear (Lee 2004)",
  },
];

/** Beyond e^3 times the forward a strike is a number without a market. */
const FAR = 3;

export function mount(root) {
  const headline = element("p", { class: "headline", id: "certificate" });
  const meaning = element("p", { class: "note" });
  const failures = element("ul", { class: "failures" });
  const margins = element("div", { id: "margins" });
  const chart = element("div", { class: "chart", id: "margin-chart", role: "img" });
  const dropped = element("div", { id: "dropped", class: "narrow" });
  root.append(
    element(
      "div",
      { class: "pair" },
      card("Static arbitrage", null, headline, meaning, failures, margins),
      card("Margins over time", "smallest distance to each bound, logarithmic", chart),
    ),
    card("Quotes used and not", "every quote is used or has exactly one reason", dropped),
  );
  return () => {
    const { document, readings } = known();
    const { certificate } = document;
    headline.replaceChildren(
      certificate.arbitrage_free
        ? verdict(
            "good",
            certificate.method === "exact" ? "Free of static arbitrage, proven" : "No static arbitrage found",
          )
        : verdict("bad", "Arbitrage"),
    );
    setText(meaning, MEANING[certificate.method] ?? certificate.method);
    failures.replaceChildren(...certificate.failures.map(each => element("li", {}, each)));
    margins.replaceChildren(marginTable(document));
    showMargins(chart, readings, document.underlying);
    dropped.replaceChildren(droppedTable(document));
  };
}

function marginTable({ certificate, slices }) {
  const columns = [
    { label: "bound", words: true },
    { label: "rule" },
    { label: "closest" },
    { label: "where", words: true },
    { label: "", words: true },
  ];
  const rows = BOUNDS.map(({ kind, key, label, rule, of }) => {
    const value = certificate[key];
    const kept =
      value == null
        ? verdict("quiet", "one expiry only")
        : verdict(of(value) >= 0 ? "good" : "bad", of(value) >= 0 ? "kept" : "broken");
    return [label, rule, margin(value), placeOf(certificate.worst[kind], slices), kept];
  });
  const meanings = BOUNDS.map(({ label, words: meaning }) =>
    element("li", {}, element("strong", {}, label), `: ${meaning}.`),
  );
  return element(
    "div",
    {},
    table("Margins of the certificate", columns, rows),
    element("ul", { class: "note meanings" }, meanings),
  );
}

function placeOf(place, slices) {
  if (!place) return "–";
  const { expiry, log_moneyness: k } = place;
  if (k == null) return `${day(expiry)}, far in the wing`;
  const forward = slices.find(slice => slice.expiry === expiry)?.forward;
  const there =
    forward && Math.abs(k) < FAR ? `strike ${strike(Number((forward * Math.exp(k)).toPrecision(5)))}, ` : "";
  return `${day(expiry)}, ${there}ln(K/F) ${plain(k, 3)}`;
}

function showMargins(node, readings, underlying) {
  if (readings.length < 2) {
    drawNothing(node, "One surface so far: a line needs two.");
    return;
  }
  const times = readings.map(each => each.asOf);
  const positive = value => (value != null && value > 0 ? value : null);
  const traces = [
    ["butterfly", each => each.butterfly],
    ["calendar", each => each.calendar],
    ["wings", each => 2 - each.wing],
  ].map(([name, of], i) =>
    line(
      name,
      times,
      readings.map(each => positive(of(each))),
      series(i),
      { hovertemplate: `%{y:.3g}<br>%{x}<extra>${name}</extra>` },
    ),
  );
  const broken = readings.filter(each => each.butterfly < 0 || each.calendar < 0 || each.wing > 2);
  if (broken.length) {
    traces.push({
      type: "scatter",
      mode: "markers",
      name: "a bound is broken",
      x: broken.map(each => each.asOf),
      y: broken.map(() => 1e-6),
      marker: { color: colour("--bad"), symbol: "x", size: 10 },
    });
  }
  node.setAttribute("aria-label", "Smallest distance to each arbitrage bound over time");
  draw(
    node,
    traces,
    {
      xaxis: axis("market time, UTC", { type: "date" }),
      yaxis: axis("", { type: "log", exponentformat: "power", dtick: 1 }),
    },
    underlying,
  );
}

function droppedTable({ slices, fit }) {
  const reasons = Object.keys(fit.quotes_dropped).sort((a, b) => fit.quotes_dropped[b] - fit.quotes_dropped[a]);
  const columns = [
    { label: "expiry", words: true },
    { label: "used" },
    ...reasons.map(reason => ({ label: words(reason) })),
    { label: "", words: true },
  ];
  const cells = (used, dropped) => [
    String(used),
    ...reasons.map(reason => (dropped[reason] ? String(dropped[reason]) : "·")),
  ];
  const rows = slices.map(slice => [
    day(slice.expiry),
    ...cells(slice.quotes_used, slice.quotes_dropped),
    slice.reason ?? "",
  ]);
  return table("Quotes by expiry and reason", columns, [
    ...rows,
    ["all", ...cells(fit.quotes_used, fit.quotes_dropped), ""],
  ]);
}
