/** WS /v1/stream: subscribe, resume from the last version seen, reconnect with backoff, and notice a dead line. */

import { accessKey } from "./access_key.js";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15000;
const PING_EVERY_MS = 10000;
/** Longer than a ping takes to come back from anywhere: a line that says nothing for so long is dead. */
const SILENCE_MS = 25000;
/** The client itself is not welcome: asking again soon changes nothing. */
const REFUSALS = new Map([
  [4001, "callers from other machines need a key"],
  [4003, "this key may not read surfaces"],
]);

export class Stream {
  /** `onSurface(message)`, `onState({phase, since, reason, retryAt})`; `resume()` maps channels to versions. */
  constructor({ channels, resume, onSurface, onState }) {
    Object.assign(this, { channels, resume, onSurface, onState });
    this.delay = FIRST_DELAY_MS;
    this.since = Date.now();
    this.socket = null;
    this.requests = 0;
  }

  /** Connect now, whatever the backoff says. */
  connect() {
    this.close();
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/stream`);
    this.socket = socket;
    this.subscribed = [];
    this.heard = Date.now();
    socket.addEventListener("open", () => this.#opened());
    socket.addEventListener("message", event => this.#message(socket, event.data));
    socket.addEventListener("close", event => this.#closed(socket, event));
  }

  /** Hang up, and stay so until connect(). */
  close() {
    clearTimeout(this.retry);
    clearInterval(this.pinging);
    const { socket } = this;
    this.socket = null;
    socket?.close();
  }

  /** Tell the service what is wanted now, if that has changed. */
  refreshSubscription() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const wanted = this.channels();
    const gone = this.subscribed.filter(channel => !wanted.includes(channel));
    const added = wanted.filter(channel => !this.subscribed.includes(channel));
    if (gone.length) this.#send({ op: "unsubscribe", channels: gone });
    if (added.length) this.#send({ op: "subscribe", channels: added, resume: this.resume(added) });
    this.subscribed = wanted;
  }

  #opened() {
    const key = accessKey();
    // A browser cannot send headers with a WebSocket: the key is its first message.
    if (key) this.socket.send(JSON.stringify({ op: "auth", key }));
    this.refreshSubscription();
    clearInterval(this.pinging);
    this.pinging = setInterval(() => this.#ping(), PING_EVERY_MS);
  }

  #ping() {
    if (Date.now() - this.heard > SILENCE_MS) this.connect();
    else if (this.socket.readyState === WebSocket.OPEN) this.#send({ op: "ping" });
  }

  #send(request) {
    this.socket.send(JSON.stringify({ ...request, id: ++this.requests }));
  }

  #message(socket, text) {
    if (socket !== this.socket) return;
    this.heard = Date.now();
    const message = JSON.parse(text);
    if (message.op === "ack") this.#acknowledged(message);
    else if (message.op === "error") this.onState({ phase: "live", since: this.since, reason: message.detail });
    else if (message.data) this.onSurface(message);
  }

  #acknowledged({ rejected, reasons }) {
    this.delay = FIRST_DELAY_MS;
    this.since = Date.now();
    const reason = rejected.map(channel => `${channel}: ${reasons[channel]}`).join("; ") || null;
    this.onState({ phase: "live", since: this.since, reason });
  }

  #closed(socket, { code, reason }) {
    if (socket !== this.socket) return;
    clearInterval(this.pinging);
    if (this.lost == null || this.since > this.lost) this.lost = Date.now();
    const refusal = REFUSALS.get(code);
    const wait = refusal ? LONGEST_DELAY_MS : this.delay * (0.5 + Math.random() / 2);
    this.delay = Math.min(2 * this.delay, LONGEST_DELAY_MS);
    this.retry = setTimeout(() => this.connect(), wait);
    this.onState({
      phase: refusal ? "refused" : "away",
      since: this.lost,
      reason: reason || refusal || null,
      retryAt: Date.now() + wait,
    });
  }
}
