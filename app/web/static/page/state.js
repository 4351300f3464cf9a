/** What the page knows and what it shows. Views read it; only the functions here and in live.js change it. */

/** `phase`: connecting, live, away, refused. */
export const state = {
  connection: { phase: "connecting", since: Date.now(), reason: null, retryAt: null },
  summaries: null,
  listError: null,
  surfaces: new Map(),
  underlying: null,
  view: "smiles",
  expiry: null,
  fleet: null,
  fleetError: null,
  events: null,
  eventsError: null,
  correlations: null,
  correlationsError: null,
};

/** What is known of one underlying: newest document, curves of it and of the one before, quotes, readings over time. */
export function known(underlying = state.underlying) {
  return state.surfaces.get(underlying) ?? null;
}

/** Return the record of `underlying`, made on first use. */
export function record(underlying) {
  if (!state.surfaces.has(underlying)) {
    state.surfaces.set(underlying, {
      document: null,
      receivedAt: 0,
      updates: 0,
      missed: 0,
      gaps: 0,
      curves: null,
      previousCurves: null,
      curveError: null,
      mesh: null,
      quotes: null,
      previousAsked: false,
      previousQuotes: null,
      quoteNote: null,
      readings: [],
      historyLoaded: false,
      historyError: null,
    });
  }
  return state.surfaces.get(underlying);
}

let redraw = () => {};
let due = false;
let everything = false;

/** `draw(everything)` runs at most once a frame, and not at all while the page is hidden. */
export function drawWith(draw) {
  redraw = draw;
}

/** What the views show has changed: draw all of it. */
export function changed() {
  everything = true;
  ticked();
}

/** Only clocks, connection and the list of underlyings have moved on. */
export function ticked() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    const all = everything;
    due = everything = false;
    redraw(all);
  });
}

/** Where the person is, kept in the address so that a reload or a link shows the same. */
export function remember() {
  const { underlying, view, expiry } = state;
  const parts = Object.entries({ underlying, view, expiry }).filter(([, value]) => value);
  window.history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
}

export function recall(views) {
  const parts = new URLSearchParams(location.hash.slice(1));
  state.underlying = parts.get("underlying");
  state.expiry = parts.get("expiry");
  if (views.includes(parts.get("view"))) state.view = parts.get("view");
}
