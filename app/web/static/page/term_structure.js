/** What the market charges by time: vol at the forward, skew, forwards and the rates they imply. */

import { axis, draw, drawNothing, line, series, tenorAxis } from "./chart.js";
import { card, element, table } from "./element.js";
import { change, day, percent, plain, points, price, tenor } from "./figures.js";
import { difference } from "./readings.js";
import { known } from "./state.js";

export function mount(root) {
  const [vol, skew, forward, rates] = ["vol", "skew", "forward", "rates"].map(id =>
    element("div", { class: "chart", id: `term-${id}`, role: "img" }),
  );
  const figures = element("div", { id: "term-figures" });
  root.append(
    element(
      "div",
      { class: "pair" },
      card("Vol at the forward", "ATM implied vol, % a year, ACT/365", vol),
      card("Skew and curvature", "25-delta risk reversal and butterfly, vol points", skew),
      card("Forwards", "with two standard deviations of what the quotes leave open", forward),
      card("Implied rates", "% a year, continuously compounded, ACT/365", rates),
    ),
    card("Figures", null, figures),
  );
  return () => {
    const { document, curves, curveError } = known();
    showForwards(forward, document);
    showRates(rates, document);
    if (curves) {
      const nodes = nodesOf(curves);
      const before = known().previousCurves ? nodesOf(known().previousCurves) : null;
      showVol(vol, nodes, before, document.underlying);
      showSkew(skew, nodes, document.underlying);
      figures.replaceChildren(figuresOf(document, nodes));
    } else {
      [vol, skew].forEach(node => drawNothing(node, curveError ?? "Evaluating the surface …"));
    }
  };
}

function nodesOf(curves) {
  return [...curves.smiles].map(([expiry, { t, nodes }]) => {
    const [put, atm, call] = [nodes["25P"], nodes.ATM, nodes["25C"]];
    const wings = put == null || call == null ? null : (put + call) / 2;
    return { expiry, days: 365 * t, atm, reversal: difference(call, put), butterfly: difference(wings, atm) };
  });
}

function showVol(node, nodes, before, underlying) {
  const days = nodes.map(each => each.days);
  const traces = [
    line(
      "ATM vol",
      days,
      nodes.map(each => 100 * each.atm),
      { ...series(0), dash: "solid" },
      {
        mode: "lines+markers",
        text: nodes.map(each => day(each.expiry)),
        hovertemplate: "%{y:.2f} %<br>%{text}<extra></extra>",
      },
    ),
  ];
  if (before) {
    traces.unshift(
      line(
        "fit before",
        before.map(each => each.days),
        before.map(each => 100 * each.atm),
        { ...series(5), dash: "dot", width: 1.5 },
        { hoverinfo: "skip" },
      ),
    );
  }
  node.setAttribute("aria-label", "ATM vol by time to expiry");
  draw(node, traces, { xaxis: tenorAxis(days), yaxis: axis("", { ticksuffix: " %" }) }, underlying);
}

function showSkew(node, nodes, underlying) {
  const days = nodes.map(each => each.days);
  const trace = (name, key, i) =>
    line(
      name,
      days,
      nodes.map(each => (each[key] == null ? null : 100 * each[key])),
      series(i),
      {
        mode: "lines+markers",
        text: nodes.map(each => day(each.expiry)),
        hovertemplate: "%{y:.2f} points<br>%{text}<extra></extra>",
      },
    );
  node.setAttribute("aria-label", "25-delta risk reversal and butterfly by time to expiry");
  draw(
    node,
    [trace("risk reversal, call less put", "reversal", 0), trace("butterfly, wings less ATM", "butterfly", 1)],
    { xaxis: tenorAxis(days), yaxis: axis("", { zeroline: true }) },
    underlying,
  );
}

function showForwards(node, document) {
  const fitted = document.slices.filter(slice => slice.forward != null);
  const days = fitted.map(slice => 365 * slice.t);
  const look = { ...series(0), dash: "solid" };
  const error = {
    type: "data",
    array: fitted.map(slice => 2 * slice.forward_sd),
    color: look.colour,
    thickness: 1.2,
    width: 4,
  };
  const { spot } = document.rate_curve;
  node.setAttribute("aria-label", "Forward by time to expiry");
  draw(
    node,
    [
      line(
        "forward",
        days,
        fitted.map(slice => slice.forward),
        look,
        {
          mode: "lines+markers",
          error_y: error,
          text: fitted.map(slice => day(slice.expiry)),
          hovertemplate: "%{y:,.2f}<br>%{text}<extra></extra>",
        },
      ),
      line(
        "spot it starts from",
        [Math.min(...days), Math.max(...days)],
        [spot, spot],
        { ...series(1), width: 1.5 },
        { hovertemplate: "spot %{y:,.2f}<extra></extra>" },
      ),
    ],
    { xaxis: tenorAxis(days), yaxis: axis("", { tickformat: ",~r" }) },
    document.underlying,
  );
}

function showRates(node, document) {
  const { t, carry, discount_rate: discount } = document.rate_curve;
  const days = t.map(years => 365 * years);
  const trace = (name, rates, i) =>
    line(
      name,
      days,
      rates.map(rate => 100 * rate),
      series(i),
      { mode: "lines+markers", hovertemplate: "%{y:.2f} %<extra></extra>" },
    );
  node.setAttribute("aria-label", "Implied carry and discount rate by time to expiry");
  draw(
    node,
    [trace("carry, ln(forward / spot) / t", carry, 0), trace("discount rate", discount, 1)],
    { xaxis: tenorAxis(days), yaxis: axis("", { ticksuffix: " %", zeroline: true }) },
    document.underlying,
  );
}

function figuresOf(document, nodes) {
  const rate = new Map(document.rate_curve.t.map((t, i) => [t, i]));
  const columns = [
    { label: "expiry", words: true },
    { label: "in" },
    { label: "ATM, %" },
    { label: "RR 25, pts" },
    { label: "BF 25, pts" },
    { label: "forward" },
    { label: "± 1 sd" },
    { label: "discount factor" },
    { label: "carry" },
  ];
  const rows = nodes.map(each => {
    const slice = document.slices.find(({ expiry }) => expiry === each.expiry);
    if (!slice) return null;
    return [
      day(each.expiry),
      tenor(slice.t),
      points(each.atm),
      change(each.reversal),
      change(each.butterfly),
      price(slice.forward),
      price(slice.forward_sd),
      plain(slice.discount_factor, 6),
      percent(document.rate_curve.carry[rate.get(slice.t)]),
    ];
  });
  return table("Term structure", columns, rows.filter(Boolean));
}
