/** What happened lately, in the service's own sentences. */

import { element, table, verdict } from "./element.js";
import { instant, words } from "./figures.js";

/** How each kind is taken; the others are news, neither good nor bad. */
const KINDS = { alarm: "warn", gate: "warn", regime: "warn", failed: "bad", dead_letter: "bad" };

/** Return the list of `events`, newest first; `error` says why there is none. */
export function eventsTable(events, error) {
  if (!events?.length) return element("p", { class: "note" }, error ?? (events ? "Nothing has happened." : "Asking …"));
  const columns = [
    { label: "time", words: true },
    { label: "underlying", words: true },
    { label: "kind", words: true },
    { label: "what happened", words: true },
  ];
  const rows = events.map(({ at, underlying, kind, message }) => [
    instant(at),
    underlying,
    verdict(KINDS[kind] ?? "quiet", words(kind)),
    element("span", { class: "sentence" }, message),
  ]);
  return table("Last events", columns, rows);
}
