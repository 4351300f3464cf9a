/** The machine behind the surfaces: queue, workers, store, and the account of every chain. */

import { card, element, renew, table, verdict } from "./element.js";
import { eventsTable } from "./events.js";
import { largest, quantileBound, total } from "./exposition.js";
import { bytes, clock, count, duration, words } from "./figures.js";
import { known, state } from "./state.js";

const ENDS = ["fitted", "failed", "superseded"];
const SUBMITTED = ["queued", "coalesced", "deferred", "dup", "stale"];
const LATENCIES = [
  ["volsurf_calibration_duration_seconds", "fit"],
  ["volsurf_queue_wait_seconds", "wait for a worker"],
  ["volsurf_received_to_published_seconds", "chain in to surface out"],
];

export function mount(root) {
  const [machine, latency, events, account, stream] = ["machine", "latency", "events", "account", "stream"].map(id =>
    element("div", { id: `health-${id}`, class: "narrow" }),
  );
  root.append(
    element(
      "div",
      { class: "pair" },
      card("Queue and workers", null, machine),
      card("Latency", "since the store was created: the bound that so many observations stay below", latency),
    ),
    card("What happened", "the last ten events, newest first", events),
    card("Every chain accounted for", "received = fitted + failed + superseded + stale + duplicate + pending", account),
    card("This page's stream", null, stream),
  );
  return () => {
    renew(stream, streamList());
    renew(events, eventsTable(state.events, state.eventsError));
    const { fleet, fleetError } = state;
    if (!fleet) {
      renew(machine, element("p", { class: "note" }, fleetError ?? "Asking …"));
      return;
    }
    renew(machine, machineList(fleet, fleetError));
    renew(latency, latencyTable(fleet.samples));
    renew(account, accountTable(fleet.samples));
  };
}

function machineList({ samples, at }, error) {
  const up = total(samples, "volsurf_store_up") === 1;
  const warm = total(samples, "volsurf_workers_warm");
  const age = largest(samples, "volsurf_queue_oldest_age_seconds");
  return facts([
    ["as of", element("span", {}, clock(at), error ? verdict("bad", ` not answering since: ${error}`) : "")],
    ["store", up ? verdict("good", "answers") : verdict("bad", "does not answer")],
    ["memory of the store", bytes(total(samples, "volsurf_store_used_bytes"))],
    [
      "workers",
      warm == null
        ? "–"
        : verdict(
            warm > 0 ? "good" : "bad",
            `${count(warm)} warm of ${count(total(samples, "volsurf_workers_alive"))}`,
          ),
    ],
    ["underlyings waiting", count(total(samples, "volsurf_queue_depth"))],
    ["longest wait now", age == null ? "–" : duration(1000 * age)],
    ["dead letters", count(total(samples, "volsurf_dead_letters_kept"))],
    ["bodies refused", count(total(samples, "volsurf_invalid_bodies_total") ?? 0)],
    ["listeners", count(total(samples, "volsurf_ws_connections"))],
    ["event loop late by", duration(1000 * (total(samples, "volsurf_event_loop_lag_seconds") ?? 0))],
  ]);
}

function latencyTable(samples) {
  const columns = [
    { label: "step", words: true },
    { label: "observations" },
    { label: "half below" },
    { label: "95 % below" },
    { label: "99 % below" },
  ];
  const below = (name, q) => {
    const bound = quantileBound(samples, name, q);
    return bound == null ? "–" : Number.isFinite(bound) ? duration(1000 * bound) : "over the last bound";
  };
  return table(
    "Latency",
    columns,
    LATENCIES.map(([name, label]) => [
      label,
      count(total(samples, `${name}_count`)),
      ...[0.5, 0.95, 0.99].map(q => below(name, q)),
    ]),
  );
}

function accountTable(samples) {
  const underlyings = [
    ...new Set((samples.get("volsurf_fitted_total") ?? []).map(({ labels }) => labels.underlying)),
  ].sort();
  if (!underlyings.length) return element("p", { class: "note" }, "No chain has arrived yet.");
  const columns = [
    { label: "underlying", words: true },
    { label: "received" },
    ...ENDS.map(label => ({ label })),
    { label: "stale" },
    { label: "duplicate" },
    { label: "pending" },
    { label: "", words: true },
  ];
  const rows = underlyings.map(underlying => {
    const submitted = outcome => total(samples, "volsurf_snapshots_total", { underlying, outcome }) ?? 0;
    const received = SUBMITTED.reduce((sum, outcome) => sum + submitted(outcome), 0);
    const ends = ENDS.map(end => total(samples, `volsurf_${end}_total`, { underlying }) ?? 0);
    const others = [
      submitted("stale"),
      submitted("dup"),
      total(samples, "volsurf_chains_pending", { underlying }) ?? 0,
    ];
    const lost = received - [...ends, ...others].reduce((a, b) => a + b, 0);
    return [
      underlying,
      ...[received, ...ends, ...others].map(count),
      lost === 0 ? verdict("good", "balances") : verdict("bad", `${count(lost)} unaccounted for`),
    ];
  });
  return table("Chains by what became of them", columns, rows);
}

function streamList() {
  const { connection } = state;
  const about = known();
  return facts([
    ["state", verdict(connection.phase === "live" ? "good" : "bad", words(connection.phase))],
    [connection.phase === "live" ? "connected since" : "disconnected since", clock(connection.since)],
    ["updates seen", count(about?.updates ?? 0)],
    ["skipped because this page was slow", count(about?.missed ?? 0)],
    ["gaps after a reconnect", count(about?.gaps ?? 0)],
    ["version", about?.document?.version ?? "–"],
  ]);
}

function facts(pairs) {
  return element(
    "dl",
    { class: "facts" },
    pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}
