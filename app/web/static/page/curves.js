/** Smiles and the surface as the service evaluates them: the page holds no formula of any model. */

import { evaluate } from "./service.js";

export const DELTAS = ["10P", "25P", "ATM", "25C", "10C"];
const SMILE_POINTS = 81;
/** Half width of a smile in standard deviations at the money: beyond, an option costs next to nothing. */
const SMILE_WIDTH = 3;
/** A little beyond the outermost quote, so that its mark is not cut. */
const MARGIN = 1.04;
const MESH_TENORS = 28;
const MESH_WIDTH = 2.5;
const MESH_POINTS = 33;

/** Return {version, smiles: Map(expiry -> columns and nodes)} for every fitted expiry of `document`. */
export async function curvesOf(document, reach) {
  const slices = document.slices.filter(slice => slice.parameters != null);
  const nodes = await evaluate(
    document.underlying,
    grid(slices, DELTAS, (slice, delta) => ({ expiry: slice.expiry, delta })),
  );
  const at = (i, name) => nodes.vol[i * DELTAS.length + DELTAS.indexOf(name)];
  const places = slices.map((slice, i) => moneyness(slice, at(i, "ATM"), reach(slice)));
  const points = slices.flatMap((slice, i) => places[i].map(k => ({ expiry: slice.expiry, log_moneyness: k })));
  const answer = await evaluate(document.underlying, columns(points));
  const smiles = new Map(
    slices.map((slice, i) => {
      const part = column => column.slice(i * SMILE_POINTS, (i + 1) * SMILE_POINTS);
      return [
        slice.expiry,
        {
          t: slice.t,
          forward: slice.forward,
          logMoneyness: places[i],
          strike: part(answer.strike),
          vol: part(answer.vol),
          low: part(answer.vol_low),
          high: part(answer.vol_high),
          nodes: Object.fromEntries(DELTAS.map(name => [name, at(i, name)])),
        },
      ];
    }),
  );
  return { version: answer.version, asOf: answer.as_of, smiles };
}

/** Return the surface over tenor and distance from the forward in standard deviations at the money. */
export async function meshOf(document) {
  const fitted = document.slices.filter(slice => slice.parameters != null);
  const [first, last] = [fitted[0].t * 365, fitted.at(-1).t * 365];
  const tenors = spaced(Math.log(first), Math.log(last), MESH_TENORS).map(Math.exp);
  // Rounding must not ask for a time beyond the last expiry, which would be an extrapolation.
  tenors[tenors.length - 1] = last;
  const money = await evaluate(document.underlying, columns(tenors.map(days => ({ tenor_days: days, delta: "ATM" }))));
  const distance = spaced(-MESH_WIDTH, MESH_WIDTH, MESH_POINTS);
  const scale = tenors.map((days, i) => money.vol[i] * Math.sqrt(days / 365));
  const answer = await evaluate(
    document.underlying,
    grid(tenors, distance, (days, z, i) => ({ tenor_days: days, log_moneyness: z * scale[i] })),
  );
  const rows = column => tenors.map((_, i) => column.slice(i * MESH_POINTS, (i + 1) * MESH_POINTS));
  return { version: answer.version, tenors, distance, vol: rows(answer.vol), strike: rows(answer.strike) };
}

function moneyness(slice, atm, reach) {
  const half = SMILE_WIDTH * atm * Math.sqrt(slice.t);
  const edge = reach.map(strike => MARGIN * Math.log(strike / slice.forward));
  return spaced(Math.min(-half, ...edge), Math.max(half, ...edge), SMILE_POINTS);
}

function grid(outer, inner, point) {
  return columns(outer.flatMap((a, i) => inner.map(b => point(a, b, i))));
}

/** [{expiry, delta}, ...] -> {expiry: [...], delta: [...]} */
function columns(points) {
  const names = new Set(points.flatMap(Object.keys));
  return Object.fromEntries([...names].map(name => [name, points.map(point => point[name] ?? null)]));
}

function spaced(from, to, n) {
  return Array.from({ length: n }, (_, i) => from + ((to - from) * i) / (n - 1));
}
