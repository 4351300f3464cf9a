/** One point of the surface on request: vol, price and greeks, kept up to date while it is looked at. */

import { card, element } from "./element.js";
import { MISSING, day, percent, plain, price, strike, words } from "./figures.js";
import { evaluate } from "./service.js";
import { known } from "./state.js";

const DEFAULT_DELTA = "25P";
const PLACES = {
  delta: { label: "Delta", hint: "25P, ATM, 10C", read: text => text.trim().toUpperCase() },
  strike: { label: "Strike", hint: "30000", read: Number },
  log_moneyness: { label: "ln(K/F)", hint: "-0.1", read: Number },
};

export function mount() {
  const place = element("input", {
    id: "point-place",
    value: DEFAULT_DELTA,
    placeholder: PLACES.delta.hint,
    autocomplete: "off",
    spellcheck: "false",
  });
  const expiry = element("select", { id: "point-expiry", change: () => ask() });
  const kind = element(
    "select",
    { id: "point-kind", change: () => Object.assign(place, { value: "", placeholder: PLACES[kind.value].hint }) },
    Object.entries(PLACES).map(([value, { label }]) => element("option", { value }, label)),
  );
  const answer = element("div", { id: "point-answer" });
  const ask = async () => {
    const asked = known()?.document;
    if (!asked || !place.value.trim()) return;
    const point = { expiry: [expiry.value], [kind.value]: [PLACES[kind.value].read(place.value)], greeks: true };
    try {
      const found = await evaluate(asked.underlying, point);
      answer.replaceChildren(answerOf(found, asked.premium));
    } catch (error) {
      answer.replaceChildren(element("p", { class: "note", role: "alert" }, `No answer: ${error.message}.`));
    }
  };
  const form = element(
    "form",
    {
      class: "point",
      submit: event => {
        event.preventDefault();
        ask();
      },
    },
    labelled("Expiry", expiry),
    labelled("By", kind),
    labelled("Value", place),
    element("button", { type: "submit" }, "Evaluate"),
  );
  const node = card("Evaluate", "one option, out of the money side unless the delta names it", form, answer);
  let version;
  return {
    node,
    draw: () => {
      const { document } = known();
      fillExpiries(expiry, document);
      if (version !== document.version) ask();
      version = document.version;
    },
  };
}

function fillExpiries(select, { underlying, slices }) {
  const fitted = slices.filter(slice => slice.parameters != null).map(slice => slice.expiry);
  const key = [underlying, ...fitted].join();
  if (select.dataset.key === key) return;
  const before = select.value;
  select.dataset.key = key;
  select.replaceChildren(...fitted.map(expiry => element("option", { value: expiry }, day(expiry))));
  select.value = fitted.includes(before) ? before : fitted[Math.min(2, fitted.length - 1)];
}

function answerOf(found, premium) {
  const one = name => found[name]?.[0] ?? null;
  if (one("vol") == null) return element("p", { class: "note" }, `No such point: ${words(one("status"))}.`);
  const band = one("vol_low") == null ? "" : ` (${percent(one("vol_low"))} to ${percent(one("vol_high"))})`;
  const coin = `${plain(one("price_coin"), 6)} coin`;
  const figures = [
    ["vol", percent(one("vol")) + band],
    ["strike", strike(Number(one("strike").toPrecision(7)))],
    ["forward", price(one("forward"))],
    ["price", premium === "coin" ? `${coin} · ${price(one("price_quote"))}` : price(one("price_quote"))],
    ["delta, by the forward", plain(one("delta"), 4)],
    ["delta, net of premium", plain(one("delta_net"), 4)],
    ["gamma, per unit of forward", one("gamma")?.toExponential(3) ?? MISSING],
    ["vega, per vol point", price(one("vega") / 100)],
    ["theta, per day", price(one("theta") / 365)],
    ["vanna, delta per vol point", plain(one("vanna") / 100, 5)],
  ];
  const list = element(
    "dl",
    { class: "facts" },
    figures.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
  return one("status") === "ok"
    ? list
    : element("div", {}, list, element("p", { class: "note" }, `Status: ${words(one("status"))}.`));
}

function labelled(text, control) {
  return element("label", {}, element("span", {}, text), control);
}
