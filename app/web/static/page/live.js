/** Keeps the state fresh: the stream for surfaces, polls for the list and the machine's health. */

import { curvesOf } from "./curves.js";
import { parseExposition } from "./exposition.js";
import { merged, readingOf } from "./readings.js";
import * as service from "./service.js";
import { changed, known, record, remember, state, ticked } from "./state.js";
import { Stream } from "./stream.js";

const LIST_EVERY_MS = 5000;
const HEALTH_EVERY_MS = 5000;
const CORRELATIONS_EVERY_MS = 10000;
/** Surfaces asked for at first: some minutes to hours of market, a megabyte at most. */
const HISTORY = 60;
/** So many events are looked at. */
const EVENTS = 10;
/** Up to so many underlyings all are followed; with more only the one that is looked at. So many are correlated. */
const FOLLOWED = 8;
/** However fast surfaces arrive, an eye needs no more curves than this. */
const REST_MS = 400;
const PREFIX = "surface.";
/** The version before the first. */
const NONE = "0";

let stream;
const evaluating = new Set();

export function start() {
  stream = new Stream({ channels, resume, onSurface, onState });
  stream.connect();
  // A page the browser keeps for "back" would go on listening unseen.
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", event => event.persisted && reconnect());
  every(LIST_EVERY_MS, refreshList);
  every(HEALTH_EVERY_MS, refreshHealth);
  every(CORRELATIONS_EVERY_MS, refreshCorrelations);
}

export function reconnect() {
  stream.connect();
  refreshList();
}

/** Look at `underlying`. */
export function choose(underlying) {
  state.underlying = underlying;
  remember();
  stream?.refreshSubscription();
  attend(underlying);
  refreshCorrelations();
  changed();
}

function channels() {
  const many = (state.summaries?.length ?? 0) > FOLLOWED;
  return many ? [PREFIX + state.underlying] : [`${PREFIX}*`];
}

/** The versions to go on from, of what these channels cover. */
function resume(wanted) {
  const seen = [...state.surfaces].filter(([, about]) => about.document);
  const versions = seen.map(([underlying, about]) => [PREFIX + underlying, about.document.version]);
  return Object.fromEntries(versions.filter(([channel]) => wanted.includes(`${PREFIX}*`) || wanted.includes(channel)));
}

function onState(connection) {
  state.connection = connection;
  changed();
}

function onSurface({ data, type, conflated, prev_version: before, reset }) {
  const about = record(data.underlying);
  if (about.document && newer(about.document.version, data.version)) return;
  if (about.document && type === "update") {
    about.updates += 1;
    about.missed += conflated;
    if (conflated === 0 && about.document.version !== before) about.gaps += 1;
  }
  if (reset && about.document) about.gaps += 1;
  about.document = data;
  about.receivedAt = Date.now();
  about.readings = merged(about.readings, [readingOf(data)]);
  if (state.underlying == null) choose(data.underlying);
  else if (state.underlying === data.underlying) attend(data.underlying);
  if (!state.summaries?.some(each => each.underlying === data.underlying)) refreshList();
  changed();
}

/** Get what is drawn about an underlying beyond its document. */
function attend(underlying) {
  const about = record(underlying);
  if (!about.document) return;
  if (!about.historyLoaded) loadHistory(underlying, about);
  if (about.curves?.version !== about.document.version) renewCurves(underlying, about);
}

async function renewCurves(underlying, about) {
  if (evaluating.has(underlying)) return;
  evaluating.add(underlying);
  const { document } = about;
  try {
    await renewQuotes(underlying, about);
    if (!about.previousAsked) await loadPrevious(underlying, about);
    const curves = await curvesOf(document, slice => reachOf(slice, about.quotes));
    // The service answers from its newest surface, which may be newer than the one asked about.
    if (about.curves && about.curves.version !== curves.version) about.previousCurves = about.curves;
    about.curves = curves;
    about.curveError = null;
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
    about.curveError = error.message;
  } finally {
    evaluating.delete(underlying);
    changed();
  }
  if (about.document !== document) setTimeout(() => state.underlying === underlying && attend(underlying), REST_MS);
}

async function renewQuotes(underlying, about) {
  try {
    about.quotes = await service.quotes(underlying);
    about.quoteNote = null;
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
    about.quotes = null;
    about.quoteNote = `Bid and ask marks are missing: ${error.message}.`;
  }
}

/** Get the fit before the first one shown; later ones have been on this page themselves. */
async function loadPrevious(underlying, about) {
  about.previousAsked = true;
  const { prev_version: version } = about.document;
  if (version === NONE) return;
  try {
    about.previousQuotes = await service.quotes(underlying, version);
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
  }
}

/** Strikes a smile must reach: those of the quotes it was fitted to, as far as they are known. */
function reachOf(slice, quotes) {
  const marks = quotes?.slices?.find(each => each.expiry === slice.expiry);
  const used = marks ? marks.strike.filter((_, i) => marks.used[i]) : [];
  return slice.fit?.worst ? [...used, slice.fit.worst.strike] : used;
}

async function loadHistory(underlying, about) {
  about.historyLoaded = true;
  try {
    about.readings = merged((await service.history(underlying, HISTORY)).map(readingOf), about.readings);
    about.historyError = null;
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
    about.historyLoaded = false;
    about.historyError = error.message;
  }
  changed();
}

async function refreshList() {
  try {
    const first = state.summaries == null;
    state.summaries = await service.summaries();
    state.listError = null;
    const names = state.summaries.map(each => each.underlying);
    if (names.length && !names.includes(state.underlying) && !known()?.document) choose(names[0]);
    else if (first) refreshCorrelations();
    stream.refreshSubscription();
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
    state.listError = error.message;
  }
  ticked();
}

async function refreshHealth() {
  try {
    state.fleet = { samples: parseExposition(await service.exposition()), at: Date.now() };
    state.fleetError = null;
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
    state.fleetError = error.message;
  }
  await refreshEvents();
  if (state.view === "health") changed();
}

async function refreshEvents() {
  try {
    state.events = await service.events(EVENTS);
    state.eventsError = null;
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
    state.eventsError = error.message;
  }
}

/** Ask how the underlying that is looked at moves with the others, while that is shown. */
export async function refreshCorrelations() {
  const { underlying, view, summaries } = state;
  if (view !== "drift" || underlying == null || summaries == null) return;
  const others = summaries.map(each => each.underlying).filter(name => name !== underlying);
  try {
    state.correlations = await service.correlations([underlying, ...others].slice(0, FOLLOWED));
    state.correlationsError = null;
  } catch (error) {
    if (!(error instanceof service.Refused)) throw error;
    state.correlationsError = error.message;
  }
  changed();
}

/** Do it now and then again and again, but not while nobody looks and not while the service is away. */
function every(interval, task) {
  task();
  setInterval(() => {
    if (!document.hidden && state.connection.phase !== "away") task();
  }, interval);
}

function newer(a, b) {
  return a.length > b.length || (a.length === b.length && a > b);
}
