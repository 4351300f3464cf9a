/** Fit by expiry: a line each, and the choice of the one whose smile is shown. */

import { element, table, verdict } from "./element.js";
import { change, count, day, percent, points, price, strike, tenor, words } from "./figures.js";
import { difference } from "./readings.js";

/** Draw the table into `list`; `choose(expiry)` is called with the one a person picks. */
export function drawExpiries(list, document, curves, shown, choose) {
  const focused = list.contains(window.document.activeElement) ? window.document.activeElement.dataset.expiry : null;
  const scrolled = list.querySelector(".scroll")?.scrollLeft ?? 0;
  const columns = [
    { label: "expiry", words: true },
    { label: "in" },
    { label: "forward" },
    { label: "ATM, %", title: "vol at the forward" },
    { label: "RR, pts", title: "25-delta risk reversal: call vol less put vol, vol points" },
    { label: "rmse, pts", title: "model vol against mid vol, vol points" },
    { label: "inside", title: "share of quotes whose model vol lies within bid and ask" },
    { label: "quotes", title: "used / all" },
    { label: "status", words: true },
  ];
  const rows = document.slices.map(slice => {
    const nodes = curves?.smiles.get(slice.expiry)?.nodes;
    const dropped = Object.values(slice.quotes_dropped).reduce((a, b) => a + b, 0);
    return [
      element(
        "button",
        {
          type: "button",
          class: "row",
          "data-expiry": slice.expiry,
          "aria-pressed": String(slice === shown),
          disabled: slice.parameters == null,
          click: () => choose(slice.expiry),
        },
        day(slice.expiry),
      ),
      tenor(slice.t),
      price(slice.forward),
      points(nodes?.ATM),
      change(difference(nodes?.["25C"], nodes?.["25P"])),
      points(slice.fit?.rmse_vol),
      percent(slice.fit?.inside_spread, 0),
      `${count(slice.quotes_used)} / ${count(slice.quotes_used + dropped)}`,
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
  return element(
    "p",
    { class: "note" },
    `Largest error, ${day(slice.expiry)}: strike ${strike(worst.strike)}, model ${percent(worst.model_vol)}, ` +
      `bid ${percent(worst.bid_vol)}, ask ${percent(worst.ask_vol)}.`,
  );
}
