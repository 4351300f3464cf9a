/** Prometheus' text format, as far as this service writes it: name{label="value"} number. */

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = { n: "\n", "\\": "\\", '"': '"' };

/** Return samples by name: [{labels, value}]. */
export function parseExposition(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : SAMPLE.exec(line);
    if (!match) continue;
    const [, name, labels = "", value] = match;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels: labelsOf(labels), value: value === "+Inf" ? Infinity : Number(value) });
  }
  return found;
}

/** Return the sum of the samples called `name` whose labels include `wanted`; null where there are none. */
export function total(samples, name, wanted = {}) {
  const matching = (samples.get(name) ?? []).filter(({ labels }) =>
    Object.entries(wanted).every(([label, value]) => labels[label] === value),
  );
  return matching.length ? matching.reduce((sum, { value }) => sum + value, 0) : null;
}

export function largest(samples, name) {
  const values = (samples.get(name) ?? []).map(({ value }) => value);
  return values.length ? Math.max(...values) : null;
}

/** Return the bound of the histogram bucket that holds the share `q` of all observations; null without any. */
export function quantileBound(samples, name, q) {
  const buckets = (samples.get(`${name}_bucket`) ?? []).map(({ labels, value }) => ({
    bound: bound(labels.le),
    value,
  }));
  buckets.sort((a, b) => a.bound - b.bound);
  const all = buckets.at(-1)?.value;
  return all ? buckets.find(({ value }) => value >= q * all).bound : null;
}

function bound(text) {
  return text === "+Inf" ? Infinity : Number(text);
}

function labelsOf(text) {
  const pairs = [...text.matchAll(LABEL)];
  return Object.fromEntries(pairs.map(([, name, value]) => [name, value.replace(/\\(.)/g, (_, c) => ESCAPED[c] ?? c)]));
}
