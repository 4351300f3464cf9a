/** Smiles per expiry: the model, its band, the fit before, and the quotes it was made from. */

import { axis, band, colour, draw, drawNothing, line, rangeOf } from "./chart.js";
import { card, element, setText } from "./element.js";
import { drawExpiries } from "./expiries.js";
import { day, percent, price } from "./figures.js";
import { mount as mountPoint } from "./point.js";
import {
  fittedVols,
  inPercent,
  previousModel,
  quoteMarks,
  residualMarks,
  unfittedWords,
  worstQuote,
} from "./quote_marks.js";
import { segments } from "./segments.js";
import { changed, known, remember, state } from "./state.js";

const AXES = { strike: "strike", logMoneyness: "log-moneyness ln(K/F)" };
let place = "strike";
let layout = "one";

export function mount(root) {
  const chart = element("div", { class: "chart tall", id: "smile-chart", role: "img" });
  const note = element("p", { class: "note", id: "smile-note" });
  const choices = [
    segments(
      "Shown",
      { one: "One expiry", all: "All" },
      () => layout,
      value => {
        layout = value;
        changed();
      },
    ),
    segments(
      "Axis",
      { strike: "Strike", logMoneyness: "ln(K/F)" },
      () => place,
      value => {
        place = value;
        changed();
      },
    ),
  ];
  const controls = element(
    "div",
    { class: "controls" },
    choices.map(({ node }) => node),
  );
  const smile = card("Smile", null, controls, chart, note);
  smile.id = "smile-card";
  const expiries = card("Expiries", "Choose one to see its smile.");
  const list = expiries.appendChild(element("div", { id: "expiries" }));
  const point = mountPoint();
  root.append(element("div", { class: "split" }, smile, element("div", { class: "stack" }, expiries, point.node)));
  return () => {
    choices.forEach(({ mark }) => mark());
    show(smile, chart, note, list);
    point.draw();
  };
}

function show(smile, chart, note, list) {
  const { document, curves, curveError, quotes, quoteNote, previousCurves, previousQuotes } = known();
  const shown = chosen(document);
  drawExpiries(list, document, curves, shown, expiry => {
    state.expiry = expiry;
    layout = "one";
    remember();
    changed();
  });
  if (!curves) {
    drawNothing(chart, curveError ?? "Evaluating the surface …");
    setText(note, "");
    return;
  }
  setText(
    smile.querySelector("h2"),
    layout === "one" && shown ? `Smile, ${day(shown.expiry)}` : "Smiles, every expiry",
  );
  if (layout === "one" && shown) drawOne(chart, shown);
  else drawAll(chart, document);
  const bands = [...curves.smiles.values()].some(({ low }) => low.some(v => v != null));
  setText(
    note,
    [
      curveError && `The curves are older than the surface: ${curveError}.`,
      bands ? wanted(document.confidence) : "This surface carries no error bars.",
      !previousCurves && !previousQuotes && "The fit before is drawn from the next update on.",
      quotes && unfittedWords(...(layout === "one" && shown ? [quotesOf(shown), curves.smiles.get(shown.expiry)] : [])),
      quoteNote,
    ]
      .filter(Boolean)
      .join(" "),
  );
}

function wanted(confidence) {
  return confidence && `The error band is to hold ${percent(confidence.level, 0)} of the next chain's mid vols.`;
}

/** The expiry looked at; the first one after a week where none was chosen, or the chosen one has expired. */
function chosen(document) {
  const fitted = document.slices.filter(slice => slice.parameters != null);
  return (
    fitted.find(slice => slice.expiry === state.expiry) ?? fitted.find(slice => slice.t > 7 / 365) ?? fitted[0] ?? null
  );
}

function drawOne(chart, slice) {
  const { underlying } = known().document;
  const quotes = quotesOf(slice);
  const residuals = quotes ? residualMarks(quotes, place) : [];
  const traces = [...tracesOf(slice, true), ...residuals];
  const forward = place === "strike" ? slice.forward : 0;
  const smile = known().curves.smiles.get(slice.expiry);
  chart.setAttribute("aria-label", `Implied vol of ${underlying} expiring ${day(slice.expiry)} by ${AXES[place]}`);
  draw(
    chart,
    traces,
    {
      xaxis: axis(AXES[place], {
        ...(place === "strike" ? { tickformat: ",~r" } : {}),
        ...(smile && { range: rangeOf(smile[place], 0.02) }),
        anchor: residuals.length ? "y2" : "y",
      }),
      yaxis: axis("implied vol, %", {
        ticksuffix: " %",
        ...(smile && { range: volRange(smile, quotes) }),
        domain: residuals.length ? [0.31, 1] : [0, 1],
      }),
      yaxis2: axis("mid − model, pts", { domain: [0, 0.24], zeroline: true, nticks: 5 }),
      shapes: [
        {
          type: "line",
          x0: forward,
          x1: forward,
          yref: "paper",
          y0: 0,
          y1: 1,
          layer: "below",
          line: { color: colour("--rule-strong"), width: 1, dash: "dot" },
        },
      ],
      annotations: [
        {
          x: forward,
          yref: "paper",
          y: 1,
          yanchor: "top",
          xanchor: "left",
          showarrow: false,
          text: ` forward ${price(slice.forward)}`,
          font: { size: 11, color: colour("--quiet") },
        },
      ],
    },
    `${underlying} ${slice.expiry} ${place}`,
  );
}

/** Vols in percent that must be seen: the model's and those it was fitted to. */
function volRange(smile, quotes) {
  return rangeOf(inPercent([...smile.vol, ...fittedVols(quotes)]), 0.06);
}

function quotesOf(slice, from = known().quotes) {
  return from?.slices.find(each => each.expiry === slice.expiry) ?? null;
}

/** Small multiples, one scale of vol each: the shape matters here. */
function drawAll(chart, document) {
  const slices = document.slices.filter(slice => known().curves.smiles.has(slice.expiry));
  const across = Math.min(slices.length, chart.clientWidth < 560 ? 2 : 3);
  const down = Math.ceil(slices.length / across);
  const layoutOfAll = {
    grid: { rows: down, columns: across, pattern: "independent", xgap: 0.16, ygap: 0.34 },
    annotations: [],
    showlegend: false,
  };
  const traces = slices.flatMap((slice, i) => {
    const suffix = i ? String(i + 1) : "";
    const smile = known().curves.smiles.get(slice.expiry);
    layoutOfAll[`xaxis${suffix}`] = axis("", {
      tickformat: place === "strike" ? "~s" : "",
      nticks: 5,
      range: rangeOf(smile[place], 0.02),
    });
    layoutOfAll[`yaxis${suffix}`] = axis("", {
      nticks: 5,
      range: volRange(smile, quotesOf(slice)),
    });
    layoutOfAll.annotations.push({
      xref: `x${suffix} domain`,
      yref: `y${suffix} domain`,
      x: 0,
      y: 1.02,
      yanchor: "bottom",
      xanchor: "left",
      showarrow: false,
      text: `${day(slice.expiry)}, %`,
      font: { size: 11, color: colour("--quiet") },
    });
    return tracesOf(slice, false).map(trace => ({ ...trace, xaxis: `x${suffix}`, yaxis: `y${suffix}` }));
  });
  chart.setAttribute("aria-label", `Implied vol of ${document.underlying} by ${AXES[place]}, a chart for each expiry`);
  draw(chart, traces, layoutOfAll, `${document.underlying} all ${place} ${slices.length}`);
}

function tracesOf(slice, whole) {
  const { curves, previousCurves, previousQuotes } = known();
  const smile = curves.smiles.get(slice.expiry);
  if (!smile) return [];
  const drawn = previousCurves?.smiles.get(slice.expiry);
  const before = drawn ? { x: drawn[place], vol: drawn.vol } : previousModel(quotesOf(slice, previousQuotes), place);
  const where = smile[place];
  const hover = `%{y:.2f} % at %{x:,}<extra></extra>`;
  const traces = [];
  if (smile.low.some(v => v != null))
    traces.push(band("error band", where, inPercent(smile.low), inPercent(smile.high), "--series-1"));
  if (before?.vol.some(vol => vol != null)) {
    traces.push(
      line(
        "fit before",
        before.x,
        inPercent(before.vol),
        { colour: colour("--quiet"), dash: "dot", width: 1.5 },
        { hovertemplate: hover },
      ),
    );
  }
  traces.push(...quoteMarks(quotesOf(slice), place));
  traces.push(
    line("model", where, inPercent(smile.vol), { colour: colour("--series-1"), width: 2.5 }, { hovertemplate: hover }),
  );
  if (whole && slice.fit?.worst && !quotesOf(slice)) traces.push(...worstQuote(slice, place));
  return traces;
}
