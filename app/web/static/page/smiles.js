/** Smiles per expiry: the model, its band, the fit before, and the quotes it was made from. */

import { axis, band, colour, draw, drawNothing, line } from "./chart.js";
import { card, element, setText, table, verdict } from "./element.js";
import { change, count, day, percent, points, price, strike, tenor, words } from "./figures.js";
import { mount as mountPoint } from "./point.js";
import { changed, known, remember, state } from "./state.js";

const AXES = { strike: "strike", logMoneyness: "log-moneyness ln(K/F)" };
let place = "strike";
let layout = "one";

export function mount(root) {
  const chart = element("div", { class: "chart tall", id: "smile-chart", role: "img" });
  const note = element("p", { class: "note", id: "smile-note" });
  const controls = element("div", { class: "controls" },
    choice("Shown", { one: "One expiry", all: "All" }, () => layout, value => { layout = value; }),
    choice("Axis", { strike: "Strike", logMoneyness: "ln(K/F)" }, () => place, value => { place = value; }));
  const smile = card("Smile", null, controls, chart, note);
  smile.id = "smile-card";
  const expiries = card("Expiries", "Choose one to see its smile.");
  const list = expiries.appendChild(element("div", { id: "expiries" }));
  const point = mountPoint();
  root.append(element("div", { class: "split" }, smile, element("div", { class: "stack" }, expiries, point.node)));
  return () => {
    show(smile, chart, note, list);
    point.draw();
  };
}

function show(smile, chart, note, list) {
  const { document, curves, curveError, quoteNote, previousCurves } = known();
  const shown = chosen(document);
  drawExpiries(list, document, curves, shown);
  if (!curves) {
    drawNothing(chart, curveError ?? "Evaluating the surface …");
    setText(note, "");
    return;
  }
  setText(smile.querySelector("h2"), layout === "one" && shown ? `Smile, ${day(shown.expiry)}` : "Smiles, every expiry");
  if (layout === "one" && shown) drawOne(chart, shown);
  else drawAll(chart, document);
  const bands = [...curves.smiles.values()].some(({ low }) => low.some(v => v != null));
  setText(note, [
    curveError && `The curves are older than the surface: ${curveError}.`,
    bands ? wanted(document.confidence) : "This surface carries no error bars.",
    !previousCurves && "The fit before is drawn from the next update on.",
    quoteNote,
  ].filter(Boolean).join(" "));
}

function wanted(confidence) {
  return confidence && `The error band is to hold ${percent(confidence.level, 0)} of the next chain's mid vols.`;
}

/** The expiry looked at; the first one after a week where none was chosen, or the chosen one has expired. */
function chosen(document) {
  const fitted = document.slices.filter(slice => slice.parameters != null);
  return fitted.find(slice => slice.expiry === state.expiry) ?? fitted.find(slice => slice.t > 7 / 365) ?? fitted[0] ?? null;
}

function drawOne(chart, slice) {
  const { underlying } = known().document;
  const traces = tracesOf(slice, true);
  const forward = place === "strike" ? slice.forward : 0;
  chart.setAttribute("aria-label", `Implied vol of ${underlying} expiring ${day(slice.expiry)} by ${AXES[place]}`);
  draw(chart, traces, {
    xaxis: axis(AXES[place], place === "strike" ? { tickformat: ",~r" } : {}),
    yaxis: axis("implied vol, %", { ticksuffix: " %" }),
    shapes: [{ type: "line", x0: forward, x1: forward, yref: "paper", y0: 0, y1: 1, layer: "below",
      line: { color: colour("--rule-strong"), width: 1, dash: "dot" } }],
    annotations: [{ x: forward, yref: "paper", y: 1, yanchor: "top", xanchor: "left", showarrow: false,
      text: ` forward ${price(slice.forward)}`, font: { size: 11, color: colour("--quiet") } }],
  }, `${underlying} ${slice.expiry} ${place}`);
}

/** Small multiples, one scale of vol each: the shape matters here. */
function drawAll(chart, document) {
  const slices = document.slices.filter(slice => known().curves.smiles.has(slice.expiry));
  const across = Math.min(slices.length, chart.clientWidth < 560 ? 2 : 3);
  const down = Math.ceil(slices.length / across);
  const layoutOfAll = { grid: { rows: down, columns: across, pattern: "independent", xgap: 0.16, ygap: 0.34 }, annotations: [], showlegend: false };
  const traces = slices.flatMap((slice, i) => {
    const suffix = i ? String(i + 1) : "";
    layoutOfAll[`xaxis${suffix}`] = axis("", { tickformat: place === "strike" ? "~s" : "", nticks: 5 });
    layoutOfAll[`yaxis${suffix}`] = axis("", { nticks: 5 });
    layoutOfAll.annotations.push({ xref: `x${suffix} domain`, yref: `y${suffix} domain`, x: 0, y: 1.02, yanchor: "bottom", xanchor: "left",
      showarrow: false, text: `${day(slice.expiry)}, %`, font: { size: 11, color: colour("--quiet") } });
    return tracesOf(slice, false).map(trace => ({ ...trace, xaxis: `x${suffix}`, yaxis: `y${suffix}` }));
  });
  chart.setAttribute("aria-label", `Implied vol of ${document.underlying} by ${AXES[place]}, a chart for each expiry`);
  draw(chart, traces, layoutOfAll, `${document.underlying} all ${place} ${slices.length}`);
}

function tracesOf(slice, whole) {
  const { curves, previousCurves, quotes } = known();
  const smile = curves.smiles.get(slice.expiry);
  if (!smile) return [];
  const before = previousCurves?.smiles.get(slice.expiry);
  const where = smile[place];
  const hover = `%{y:.2f} % at %{x:,}<extra></extra>`;
  const traces = [];
  if (smile.low.some(v => v != null)) traces.push(band("error band", where, inPercent(smile.low), inPercent(smile.high), "--series-1"));
  if (before) {
    traces.push(line("fit before", before[place], inPercent(before.vol), { colour: colour("--quiet"), dash: "dot", width: 1.5 }, { hovertemplate: hover }));
  }
  traces.push(...quoteMarks(quotes?.slices?.find(each => each.expiry === slice.expiry), slice));
  traces.push(line("model", where, inPercent(smile.vol), { colour: colour("--series-1"), width: 2.5 }, { hovertemplate: hover }));
  if (whole && slice.fit?.worst) traces.push(...worstQuote(slice));
  return traces;
}

/** Bid and ask of every quote, hollow where it was not fitted to; nothing where the service publishes none. */
function quoteMarks(quotes, slice) {
  if (!quotes) return [];
  const where = place === "strike" ? quotes.strike : quotes.log_moneyness ?? quotes.strike.map(k => Math.log(k / slice.forward));
  const side = (name, vols, symbol, colourName) => ({
    type: "scatter", mode: "markers", name, x: where, y: inPercent(vols), hovertemplate: `${name} %{y:.2f} % at %{x:,}<extra></extra>`,
    marker: { size: 7, color: colour(colourName), symbol: quotes.used.map(used => (used ? symbol : `${symbol}-open`)), opacity: 0.9 },
  });
  return [side("bid", quotes.bid_vol, "triangle-up", "--series-3"), side("ask", quotes.ask_vol, "triangle-down", "--series-2")];
}

function worstQuote({ fit: { worst }, forward }) {
  const x = place === "strike" ? worst.strike : Math.log(worst.strike / forward);
  const ink = colour("--series-2");
  return [{
    type: "scatter", mode: "lines+markers", name: "largest error: bid to ask", x: [x, x], y: inPercent([worst.bid_vol, worst.ask_vol]),
    line: { color: ink, width: 2 }, marker: { color: ink, size: 9, symbol: ["triangle-up", "triangle-down"] },
    hovertemplate: "%{y:.2f} % at %{x:,}<extra></extra>",
  }];
}

function drawExpiries(list, document, curves, shown) {
  const focused = list.contains(window.document.activeElement) ? window.document.activeElement.dataset.expiry : null;
  const scrolled = list.querySelector(".scroll")?.scrollLeft ?? 0;
  const columns = [{ label: "expiry", words: true }, { label: "in" }, { label: "forward" }, { label: "ATM, %", title: "vol at the forward" },
    { label: "RR, pts", title: "25-delta risk reversal: call vol less put vol, vol points" },
    { label: "rmse, pts", title: "model vol against mid vol, vol points" }, { label: "inside", title: "share of quotes whose model vol lies within bid and ask" },
    { label: "quotes", title: "used / all" }, { label: "status", words: true }];
  const rows = document.slices.map(slice => {
    const nodes = curves?.smiles.get(slice.expiry)?.nodes;
    const dropped = Object.values(slice.quotes_dropped).reduce((a, b) => a + b, 0);
    return [
      element("button", { type: "button", class: "row", "data-expiry": slice.expiry, "aria-pressed": String(slice === shown), disabled: slice.parameters == null,
        click: () => { state.expiry = slice.expiry; layout = "one"; remember(); changed(); } }, day(slice.expiry)),
      tenor(slice.t), price(slice.forward), points(nodes?.ATM),
      nodes ? change(nodes["25C"] == null || nodes["25P"] == null ? null : nodes["25C"] - nodes["25P"]) : "–",
      points(slice.fit?.rmse_vol), percent(slice.fit?.inside_spread, 0), `${count(slice.quotes_used)} / ${count(slice.quotes_used + dropped)}`,
      element("span", { title: slice.reason }, verdict(slice.status === "ok" ? "good" : "warn", words(slice.status))),
    ];
  });
  list.replaceChildren(table("Fit by expiry", columns, rows), worstLine(shown));
  list.querySelector(".scroll").scrollLeft = scrolled;
  if (focused) list.querySelector(`[data-expiry="${focused}"]`)?.focus({ preventScroll: true });
}

function worstLine(slice) {
  const worst = slice?.fit?.worst;
  if (!worst) return element("p", { class: "note" }, slice?.reason ?? "");
  return element("p", { class: "note" }, `Largest error, ${day(slice.expiry)}: strike ${strike(worst.strike)}, model ${percent(worst.model_vol)}, ` +
    `bid ${percent(worst.bid_vol)}, ask ${percent(worst.ask_vol)}.`);
}

function choice(label, options, current, choose) {
  const buttons = Object.entries(options).map(([value, text]) => element("button", { type: "button", "data-value": value,
    click: () => { choose(value); mark(); changed(); } }, text));
  const mark = () => buttons.forEach(button => button.setAttribute("aria-pressed", String(button.dataset.value === current())));
  mark();
  return element("div", { class: "segments", role: "group", "aria-label": label }, buttons);
}

const inPercent = vols => vols.map(vol => (vol == null ? null : 100 * vol));
