/** How numbers and times are written. Vols come as decimals and are shown in percent, their differences in points. */

export const MISSING = "–";

const MINUS = "−";
const formats = new Map();

function write(value, digits, options = {}) {
  const key = digits + JSON.stringify(options);
  if (!formats.has(key)) {
    formats.set(
      key,
      new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits, ...options }),
    );
  }
  return formats.get(key).format(value).replace("-", MINUS);
}

/** 0.5723 -> "57.23 %" */
export function percent(value, digits = 2) {
  return value == null ? MISSING : `${write(100 * value, digits)} %`;
}

/** -0.0126 -> "−1.26": a difference of vols in vol points. */
export function points(value, digits = 2) {
  return value == null ? MISSING : write(100 * value, digits);
}

/** The same with its sign always shown. */
export function change(value, digits = 2) {
  return value == null ? MISSING : write(100 * value, digits, { signDisplay: "exceptZero" });
}

/** A price or a strike: as many decimals as its size asks for. */
export function price(value) {
  if (value == null) return MISSING;
  const size = Math.abs(value);
  return write(value, size >= 10000 ? 1 : size >= 100 ? 2 : size >= 1 ? 3 : 5);
}

export function strike(value) {
  return value == null ? MISSING : write(value, 0, { maximumFractionDigits: 6 });
}

export function count(value) {
  return value == null ? MISSING : write(value, 0);
}

/** A small margin: plain where that is readable, else with an exponent. */
export function margin(value) {
  if (value == null) return MISSING;
  const size = Math.abs(value);
  return size === 0 || size >= 1e-3 ? write(value, 4) : value.toExponential(2).replace(/-/g, MINUS);
}

export function plain(value, digits) {
  return value == null ? MISSING : write(value, digits);
}

/** "2023-04-28T08:00:00.000Z" -> "28 Apr 2023" */
export function day(iso) {
  const [year, month, date] = iso.slice(0, 10).split("-");
  return `${date} ${MONTHS[month - 1]} ${year}`;
}

/** "2023-04-28T08:00:00.000Z" -> "28 Apr 2023 08:00:00 UTC" */
export function instant(iso) {
  return `${day(iso)} ${iso.slice(11, 19)} UTC`;
}

/** The local clock of the person who looks. */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

/** Years to expiry as days: "8.8 d". */
export function tenor(years) {
  const days = 365 * years;
  return `${write(days, days < 10 ? 1 : 0)} d`;
}

/** Milliseconds in the largest unit that leaves a readable number. */
export function duration(ms) {
  if (ms == null) return MISSING;
  const [sign, size] = [ms < 0 ? MINUS : "", Math.abs(ms)];
  const [unit, length] = UNITS.find(([, each]) => size >= each) ?? ["ms", 1];
  const amount = size / length;
  return `${sign}${write(amount, amount < 10 && length > 1 && length < 60000 ? 1 : 0)} ${unit}`;
}

export function bytes(value) {
  return value == null ? MISSING : `${write(value / 2 ** 20, 1)} MiB`;
}

/** "one_sided" -> "one sided" */
export function words(name) {
  return name.replaceAll("_", " ");
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const UNITS = [
  ["d", 86400000],
  ["h", 3600000],
  ["min", 60000],
  ["s", 1000],
];
