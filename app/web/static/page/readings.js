/** One line per surface over time: the few numbers of a document that are charted. */

/** As many as the service keeps by default. */
const KEPT = 500;

export function readingOf(document) {
  const { vol_grid: grid, fit, certificate, drift } = document;
  const column = name => grid.delta.indexOf(name);
  const node = (row, name) => grid.vol[row]?.[column(name)] ?? null;
  return {
    version: document.version,
    asOf: document.as_of,
    atm: grid.tenor_days.map((_, row) => node(row, "ATM")),
    reversal: grid.tenor_days.map((_, row) => difference(node(row, "25C"), node(row, "25P"))),
    rmse: fit.rmse_vol,
    maxError: fit.max_error_vol,
    inside: fit.inside_spread,
    drift: drift.vol_rms,
    coverage: document.confidence?.coverage ?? null,
    butterfly: certificate.min_butterfly_g,
    calendar: certificate.min_calendar_gap,
    wing: certificate.max_wing_slope,
  };
}

/** Return `readings` with `more`, each version once, oldest first. */
export function merged(readings, more) {
  const byVersion = new Map([...readings, ...more].map(each => [each.version, each]));
  return [...byVersion.values()]
    .sort((a, b) => a.version.length - b.version.length || (a.version < b.version ? -1 : 1))
    .slice(-KEPT);
}

export function difference(a, b) {
  return a == null || b == null ? null : a - b;
}
