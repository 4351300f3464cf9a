/** How underlyings move together, and how vol follows the forward: each number with its standard error. */

import { element, table } from "./element.js";
import { MISSING, count, plain } from "./figures.js";

const FACTORS = [
  { name: "forward", label: "forward", title: "change of ln(forward) at 30 days" },
  { name: "level", label: "vol", title: "change of the vol at the money at 30 days" },
  { name: "skew", label: "skew", title: "change of vol(25C) less vol(25P) at 30 days" },
  { name: "curvature", label: "curvature", title: "change of the mean of vol(25C) and vol(25P) less vol(ATM)" },
  { name: "slope", label: "term slope", title: "change of vol(ATM) at 90 days less that at 7 days" },
];
const FOLLOWING = [
  { name: "correlation", label: "correlation", title: "of the changes of forward and vol" },
  { name: "beta", label: "beta", title: "change of vol per change of ln(forward): 0.2 is 0.2 points for 1 %" },
  { name: "ratio", label: "stickiness", title: "skew stickiness: 1 each strike keeps its vol, 0 each moneyness" },
];

/** Return the correlations of `underlying` with the others in `found`, the service's answer; `error` says why none. */
export function pairs(found, error, underlying) {
  if (found?.underlyings[0] !== underlying) return note(error ?? "Asking …");
  const others = found.underlyings.slice(1);
  if (!others.length) return note("One underlying so far: a correlation needs two.");
  if (found.status === "too_few_observations") return note(`Not enough data yet: ${found.reason}.`);
  const cell = (other, factor) => {
    const [i, j] = [underlying, other].map(each => found.factors.indexOf(`${each}.${factor}`));
    return estimate(found.correlation[i][j], found.standard_error[i][j]);
  };
  const rows = others.map(other => [other, ...FACTORS.map(({ name }) => cell(other, name))]);
  return element(
    "div",
    {},
    table(`Correlations with ${underlying}`, [{ label: `${underlying} with`, words: true }, ...FACTORS], rows),
    note(about(found) + (error ? ` Not answering since: ${error}.` : "")),
  );
}

/** Return how the vol of each underlying in `found` follows its forward. */
export function following(found, error, underlying) {
  if (found?.underlyings[0] !== underlying) return note(error ?? "Asking …");
  const told = found.underlyings.map(name => [name, found.spot_vol[name]]);
  const rows = told.map(([name, each]) => [
    name,
    ...FOLLOWING.map(({ name: figure }) => estimate(each[figure], each[`${figure}_sd`])),
    count(each.observations),
  ]);
  const columns = [{ label: "underlying", words: true }, ...FOLLOWING, { label: "changes" }];
  const reasons = told.filter(([, each]) => each.reason).map(([name, each]) => note(`${name}: ${each.reason}.`));
  return element("div", {}, table("How vol follows the forward", columns, rows), ...reasons);
}

function about({ bar_minutes: bar, half_life_minutes: halfLife, observations, reason }) {
  const { changes, effective } = observations;
  const worth = `${count(changes)} changes over bars of ${bar} min, half-life ${halfLife} min, worth ${plain(effective, 0)}`;
  return `${worth} of equal weight.${reason ? ` Not known: ${reason}.` : ""}`;
}

function estimate(value, error) {
  return value == null ? MISSING : `${plain(value, 2)} ± ${plain(error, 2)}`;
}

function note(text) {
  return element("p", { class: "note" }, text);
}
