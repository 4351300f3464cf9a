/** The page: what is drawn where, once a frame at most. */

import { useAccessKey } from "./access_key.js";
import * as certificate from "./certificate.js";
import * as drift from "./drift.js";
import { setText } from "./element.js";
import { total } from "./exposition.js";
import { clock, duration } from "./figures.js";
import * as health from "./health.js";
import { complaints, drawAge, drawHeadline, drawUnderlyings } from "./headline.js";
import { choose, reconnect, refreshCorrelations, start } from "./live.js";
import * as smiles from "./smiles.js";
import { changed, drawWith, known, recall, remember, state, ticked } from "./state.js";
import * as surface3d from "./surface3d.js";
import { makeTabs } from "./tabs.js";
import * as termStructure from "./term_structure.js";
import { makeThemeSwitch } from "./theme.js";

const VIEWS = [
  { name: "smiles", label: "Smiles", view: smiles },
  { name: "term", label: "Term structure", view: termStructure },
  { name: "surface", label: "Surface", view: surface3d },
  { name: "drift", label: "Fit and drift", view: drift },
  { name: "certificate", label: "Arbitrage and quotes", view: certificate },
  { name: "health", label: "Health", view: health, always: true },
];
/** Ages grow between updates. */
const TICK_MS = 1000;
const PHASES = { connecting: "Connecting", live: "Live", away: "Disconnected", refused: "Not allowed" };

const at = id => document.getElementById(id);
const drawers = new Map(VIEWS.map(({ name, view }) => [name, view.mount(at(`view-${name}`))]));
const markTab = makeTabs(at("tabs"), VIEWS, name => {
  state.view = name;
  remember();
  refreshCorrelations();
  changed();
});

function drawPage(everything) {
  const { document: surface } = known() ?? {};
  drawConnection();
  drawUnderlyings(at("underlyings"), choose);
  const { always } = VIEWS.find(({ name }) => name === state.view);
  at("headline").hidden = !surface;
  at("empty").hidden = Boolean(surface) || Boolean(always) || state.summaries == null;
  at("loading").hidden = Boolean(surface) || Boolean(always) || state.summaries != null;
  setText(
    at("loading-words"),
    state.listError ? `No answer yet: ${state.listError}.` : "Asking the service for its surfaces …",
  );
  setText(at("empty-fleet"), fleetSentence());
  markTab(state.view);
  for (const { name } of VIEWS) at(`view-${name}`).hidden = name !== state.view || !(surface || always);
  drawComplaints();
  if (surface && everything) drawHeadline(at("headline"));
  if (surface) drawAge(at("headline"));
  if (everything && (surface || always)) drawers.get(state.view)();
  document.title = surface ? `${surface.underlying} · Smilekeeper` : "Smilekeeper";
}

/** Whether a chain posted now would be fitted. */
function fleetSentence() {
  const warm = state.fleet && total(state.fleet.samples, "volsurf_workers_warm");
  if (warm == null) return "";
  if (warm > 0) return `${warm} ${warm === 1 ? "worker is" : "workers are"} ready to fit.`;
  return "No worker is ready yet: a chain posted now waits until one is. The first start compiles for up to half a minute.";
}

function drawConnection() {
  const { phase, since, reason, retryAt } = state.connection;
  const lamp = at("connection");
  lamp.dataset.phase = phase;
  setText(at("connection-words"), PHASES[phase]);
  const away = phase === "away" || phase === "refused";
  at("banner").hidden = !away;
  at("key-form").hidden = phase !== "refused";
  document.body.classList.toggle("away", away);
  if (!away) return;
  const wait = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const shown = known()?.document ? " What you see is the last surface received." : "";
  setText(
    at("banner-words"),
    `${PHASES[phase]} since ${clock(since)} (${duration(Date.now() - since)}).${reason ? ` ${reason}.` : ""}${shown}`,
  );
  setText(at("banner-retry"), wait > 0 ? `Trying again in ${wait} s` : "Trying again …");
}

function drawComplaints() {
  const sentences = complaints();
  at("complaints").hidden = !sentences.length;
  setText(at("complaints"), sentences.join(" "));
}

function showHowToPost() {
  for (const node of document.querySelectorAll("[data-origin]"))
    node.textContent = node.textContent.replace("ORIGIN", location.origin);
  for (const button of document.querySelectorAll("button[data-copies]")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(at(button.dataset.copies).textContent);
      setText(button, "Copied");
    });
  }
}

recall(VIEWS.map(({ name }) => name));
drawWith(drawPage);
makeThemeSwitch(at("theme"), changed);
at("banner-now").addEventListener("click", reconnect);
at("key-form").addEventListener("submit", event => {
  event.preventDefault();
  useAccessKey(at("key").value.trim());
  at("key").value = "";
  reconnect();
});
document.addEventListener("visibilitychange", changed);
showHowToPost();
setInterval(ticked, TICK_MS);
start();
