/** How the surface moves, and how well it fits, over time and since the surface before. */

import { axis, colour, draw, drawNothing, faded, line, series } from "./chart.js";
import { card, element, renew, table } from "./element.js";
import { change, duration, percent, points } from "./figures.js";
import { known, state } from "./state.js";
import { following, pairs } from "./together.js";

/** A change this large fills its cell with colour, in decimals of vol: one point. */
const FULL_SHADE = 0.01;

export function mount(root) {
  const [atm, moved, error, inside, coverage] = ["atm", "moved", "error", "inside", "coverage"].map(id =>
    element("div", { class: "chart", id: `drift-${id}`, role: "img" }),
  );
  const nodes = element("div", { id: "drift-nodes" });
  const buckets = element("div", { id: "coverage-buckets" });
  const [together, follows] = ["together", "follows"].map(id => element("div", { id: `drift-${id}` }));
  const note = element("p", { class: "note" });
  root.append(
    element(
      "div",
      { class: "pair" },
      card("ATM vol over time", "at fixed tenors, %", atm),
      card("Drift", "root mean square change of vol from surface to surface, vol points", moved),
      card("Fit error", "model vol against mid vol, vol points", error),
      card("Inside the spread", "share of quotes whose model vol lies within bid and ask", inside),
    ),
    element(
      "div",
      { class: "pair uneven" },
      element(
        "div",
        { class: "stack" },
        card("Since the surface before", "change of vol at fixed tenors and deltas, vol points", nodes),
        card("Moving together", "correlation of changes ± standard error", together),
        card("Vol follows the forward", "at 30 days, ± standard error", follows),
      ),
      card("Coverage of the error bars", "share of later mid vols that the bands held", coverage, buckets),
    ),
    note,
  );
  return () => {
    const { document, readings, historyError } = known();
    renew(together, pairs(state.correlations, state.correlationsError, document.underlying));
    renew(follows, following(state.correlations, state.correlationsError, document.underlying));
    const times = readings.map(each => each.asOf);
    if (readings.length < 2) {
      [atm, moved, error, inside].forEach(node => drawNothing(node, "One surface so far: a line needs two."));
    } else {
      const { tenor_days: tenors } = document.vol_grid;
      chart(
        atm,
        tenors.map((days, i) => [`${days} d`, times, readings.map(each => each.atm[i]), i]),
        "ATM vol over time",
        " %",
      );
      chart(moved, [["drift", times, readings.map(each => each.drift), 0]], "Drift over time", "", true);
      chart(
        error,
        [
          ["rmse", times, readings.map(each => each.rmse), 0],
          ["largest", times, readings.map(each => each.maxError), 1],
        ],
        "Fit error over time",
        "",
        true,
      );
      chart(
        inside,
        [["inside", times, readings.map(each => each.inside), 0]],
        "Share inside the spread over time",
        " %",
        false,
        { maxallowed: 100 },
      );
    }
    nodes.replaceChildren(nodeTable(document));
    showCoverage(coverage, buckets, document, readings);
    note.textContent = span(readings) + (historyError ? ` Older surfaces are missing: ${historyError}.` : "");
  };
}

function showCoverage(node, buckets, { confidence, underlying }, readings) {
  const measured = readings.filter(each => each.coverage != null);
  node.hidden = measured.length < 2;
  buckets.replaceChildren(
    confidence?.coverage == null
      ? element(
          "p",
          { class: "note" },
          confidence
            ? "Not measured yet: no chain has followed a surface."
            : "This surface carries no measured coverage.",
        )
      : bucketTable(confidence),
  );
  if (node.hidden) return;
  const times = measured.map(each => each.asOf);
  node.setAttribute("aria-label", "Coverage of the error bars over time");
  draw(
    node,
    [
      line(
        "held",
        times,
        measured.map(each => 100 * each.coverage),
        { ...series(0), dash: "solid" },
        { hovertemplate: "%{y:.1f} %<br>%{x}<extra></extra>" },
      ),
      line(
        "wanted",
        [times[0], times.at(-1)],
        Array(2).fill(100 * (confidence?.level ?? NaN)),
        { ...series(5), dash: "dot", width: 1.5 },
        { hoverinfo: "skip" },
      ),
    ],
    { xaxis: axis("market time, UTC", { type: "date" }), yaxis: axis("", { ticksuffix: " %" }) },
    `${underlying} coverage`,
  );
}

/** Buckets are named tenor/moneyness. */
function bucketTable({ level, coverage, per_bucket: perBucket }) {
  const [tenors, places] = [0, 1].map(part => [
    ...new Set(Object.keys(perBucket).map(bucket => bucket.split("/")[part])),
  ]);
  const rows = tenors.map(tenor => [tenor, ...places.map(place => percent(perBucket[`${tenor}/${place}`], 1))]);
  return element(
    "div",
    {},
    element("p", {}, `Held ${percent(coverage, 1)}, wanted ${percent(level, 0)}.`),
    table(
      "Coverage by tenor and moneyness",
      [{ label: "tenor", words: true }, ...places.map(label => ({ label }))],
      rows,
    ),
  );
}

function chart(node, lines, label, suffix, fromZero = false, limits = {}) {
  const traces = lines.map(([name, x, values, i]) =>
    line(
      name,
      x,
      values.map(v => (v == null ? null : 100 * v)),
      series(i),
      {
        hovertemplate: `%{y:.3f}${suffix}<br>%{x}<extra>${name}</extra>`,
        ...(fromZero && lines.length === 1
          ? { fill: "tozeroy", fillcolor: faded("--series-1", 0.15), line: { shape: "hvh" } }
          : {}),
      },
    ),
  );
  node.setAttribute("aria-label", label);
  draw(
    node,
    traces,
    {
      xaxis: axis("market time, UTC", { type: "date" }),
      yaxis: axis("", { ticksuffix: suffix, rangemode: fromZero ? "tozero" : "normal", autorangeoptions: limits }),
      showlegend: lines.length > 1,
    },
    `${known().document.underlying} ${label}`,
  );
}

function nodeTable({ drift, vol_grid: grid }) {
  if (drift.vol_rms == null)
    return element("p", { class: "note" }, "This is the first surface: there is none before it.");
  const columns = [
    { label: "tenor", words: true },
    ...grid.delta.map(label => ({ label })),
    { label: "rms", title: "over the deltas" },
  ];
  const rows = grid.tenor_days.map(days => {
    const changes = grid.delta.map(
      delta => drift.per_node.find(node => node.tenor_days === days && node.delta === delta)?.vol_change ?? null,
    );
    const found = changes.filter(each => each != null);
    const rms = found.length ? Math.sqrt(found.reduce((sum, each) => sum + each ** 2, 0) / found.length) : null;
    return [`${days} d`, ...changes.map(shaded), points(rms, 3)];
  });
  return element(
    "div",
    {},
    table("Change of vol since the surface before", columns, rows),
    element(
      "p",
      { class: "note" },
      `Over all nodes ${points(drift.vol_rms, 3)} points. ${drift.per_tenor.map(each => `${each.tenor} ${points(each.vol_rms, 3)}`).join(", ")}.`,
    ),
  );
}

/** The number carries its sign and an arrow; the shade only helps to find the large ones. */
function shaded(value) {
  if (value == null) return "–";
  const text = change(value, 3);
  const arrow = text.startsWith("+") ? "↑ " : Number(text) === 0 ? "" : "↓ ";
  const cell = element("span", { class: "shade" }, arrow + text);
  const strength = Math.min(1, Math.abs(value) / FULL_SHADE);
  cell.style.backgroundColor =
    value === 0 ? "transparent" : faded(value > 0 ? "--series-2" : "--series-1", 0.5 * strength);
  cell.style.color = colour("--ink");
  return cell;
}

function span(readings) {
  if (readings.length < 2) return "";
  const length = Date.parse(readings.at(-1).asOf) - Date.parse(readings[0].asOf);
  const worst = Math.min(...readings.map(each => each.inside));
  return `${readings.length} surfaces over ${duration(length)} of market time; inside the spread at worst ${percent(worst, 1)}.`;
}
