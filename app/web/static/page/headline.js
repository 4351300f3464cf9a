/** What a desk wants at a glance: the underlyings, and the figures of the chosen one. */

import { element, setText, verdict } from "./element.js";
import { change, count, duration, instant, percent, points, price } from "./figures.js";
import { difference } from "./readings.js";
import { known, state } from "./state.js";

/** The tenor shown first, in days; the first one there is where a surface is shorter. */
const TENOR_DAYS = 30;

const EVIDENCE = { exact: "proven", grid: "on a grid" };

/** Buttons, one for each underlying; `choose(name)`. */
export function drawUnderlyings(root, choose) {
  const names = (state.summaries ?? []).map(each => each.underlying);
  const existing = [...root.children].map(button => button.dataset.underlying);
  if (names.join("\n") !== existing.join("\n")) {
    root.replaceChildren(
      ...names.map(name =>
        element(
          "button",
          { type: "button", "data-underlying": name, click: () => choose(name) },
          element("strong", {}, name),
          " ",
          element("span", { class: "figure" }),
        ),
      ),
    );
  }
  for (const [i, button] of [...root.children].entries()) {
    const summary = state.summaries[i];
    button.setAttribute("aria-pressed", String(summary.underlying === state.underlying));
    setText(button.lastChild, percent(summary.atm_vol, 1));
    button.title = `ATM vol, ${summary.atm_tenor_days ?? "–"} days${summary.last_failure ? `; ${summary.last_failure}` : ""}`;
  }
}

/** The strip of figures about the newest surface. */
export function drawHeadline(root) {
  const { document } = known();
  const { vol_grid: grid, fit, certificate, drift } = document;
  const row = Math.max(0, grid.tenor_days.indexOf(TENOR_DAYS));
  const node = name => grid.vol[row]?.[grid.delta.indexOf(name)] ?? null;
  const moved =
    drift.per_node.find(each => each.tenor_days === grid.tenor_days[row] && each.delta === "ATM")?.vol_change ?? null;
  const first = document.slices.find(slice => slice.forward != null);
  const days = `${grid.tenor_days[row]} d`;
  const total = fit.quotes_used + Object.values(fit.quotes_dropped).reduce((a, b) => a + b, 0);
  root.replaceChildren(
    figure("forward", "Forward, first expiry", price(first?.forward), `spot ${price(document.rate_curve.spot)}`),
    figure(
      "atm",
      `ATM vol, ${days}`,
      percent(node("ATM")),
      moved == null ? "first surface" : `${change(moved)} pts since last`,
    ),
    figure(
      "reversal",
      `25-delta RR, ${days}`,
      `${change(difference(node("25C"), node("25P")))} pts`,
      "call vol less put vol",
    ),
    figure("rmse", "Fit error, rmse", `${points(fit.rmse_vol)} pts`, `largest ${points(fit.max_error_vol)} pts`),
    figure(
      "inside",
      "Inside the spread",
      percent(fit.inside_spread, 1),
      `${count(fit.quotes_used)} of ${count(total)} quotes`,
    ),
    figure(
      "arbitrage",
      "Static arbitrage",
      verdict(certificate.arbitrage_free ? "good" : "bad", certificate.arbitrage_free ? "none" : "present"),
      `${EVIDENCE[certificate.method] ?? certificate.method}, ${document.model}`,
    ),
    figure("drift", "Drift", `${points(drift.vol_rms, 3)} pts`, "rms since last surface"),
    figure("age", "Age of the market", "", instant(document.as_of)),
  );
}

/** The one figure that changes by itself. */
export function drawAge(root) {
  const { document, receivedAt } = known();
  const stale = document.stale || summaryOf()?.stale;
  const age = duration(document.age_ms + (Date.now() - receivedAt));
  root
    .querySelector("[data-figure=age] .value")
    .replaceChildren(stale ? verdict("warn", `${age} stale`) : verdict("good", age));
}

/** What is wrong with the surface that is shown, in sentences; empty when nothing is. */
export function complaints() {
  const about = known();
  if (!about?.document) return [];
  const { status, reason } = about.document;
  return [
    status === "ok" ? null : `This surface is ${status}${reason ? `: ${reason}` : ""}.`,
    summaryOf()?.last_failure
      ? `A newer chain gave no surface; the last good one is shown. ${summaryOf().last_failure}`
      : null,
  ].filter(Boolean);
}

function summaryOf() {
  return state.summaries?.find(each => each.underlying === state.underlying) ?? null;
}

function figure(name, label, value, note) {
  return element(
    "div",
    { class: "kpi", "data-figure": name },
    element("dt", {}, label),
    element("dd", { class: "value" }, value),
    element("dd", { class: "note" }, note),
  );
}
