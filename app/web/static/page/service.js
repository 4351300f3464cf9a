/** The service's HTTP side. Every failure is a Refused that says, in the service's own words, what is wrong. */

import { accessKey } from "./access_key.js";

const TIMEOUT_MS = 10000;

/** `status` is the HTTP status, 0 where no answer came. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function summaries() {
  return (await json("/v1/surfaces")).surfaces;
}

/** Kept surfaces, newest first. */
export async function history(underlying, limit) {
  return (await json(`${path(underlying)}/history?limit=${limit}`)).surfaces;
}

/** Columns in, columns out. */
export function evaluate(underlying, columns) {
  return json(`${path(underlying)}/evaluate`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(columns),
  });
}

/** What happened, newest first. */
export async function events(limit) {
  return (await json(`/v1/events?limit=${limit}`)).events;
}

/** How `underlyings` move together. */
export function correlations(underlyings) {
  return json(`/v1/correlations?underlyings=${underlyings.map(encodeURIComponent).join(",")}`);
}

export async function exposition() {
  return (await answer("/metrics")).text();
}

/** The quotes a surface was fitted to, the newest one where no version is named. */
export function quotes(underlying, version) {
  return json(`${path(underlying)}/quotes${version ? `?version=${version}` : ""}`);
}

function path(underlying) {
  return `/v1/surfaces/${encodeURIComponent(underlying)}`;
}

async function json(url, options) {
  return (await answer(url, options)).json();
}

async function answer(url, options = {}) {
  const key = accessKey();
  const headers = { ...options.headers, ...(key && { "X-API-Key": key }) };
  let response;
  try {
    response = await fetch(url, { ...options, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Refused(0, late ? `no answer within ${TIMEOUT_MS / 1000} s` : "the service cannot be reached");
  }
  if (!response.ok) throw new Refused(response.status, await problem(response));
  return response;
}

async function problem(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).detail ?? text;
  } catch {
    return text || response.statusText;
  }
}
