/** Some buttons of which one is pressed. */

import { element } from "./element.js";

/** `options` maps values to their words; `current()` says which is pressed, `choose(value)` hears what a person picks.
 * `mark()` presses the right one after something else has chosen. */
export function segments(label, options, current, choose) {
  const buttons = Object.entries(options).map(([value, text]) =>
    element(
      "button",
      {
        type: "button",
        "data-value": value,
        click: () => {
          choose(value);
          mark();
        },
      },
      text,
    ),
  );
  const mark = () =>
    buttons.forEach(button => button.setAttribute("aria-pressed", String(button.dataset.value === current())));
  mark();
  return { node: element("div", { class: "segments", role: "group", "aria-label": label }, buttons), mark };
}
