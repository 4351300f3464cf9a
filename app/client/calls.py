"""Requests as values: what to send and how to read the answer, for either client to carry out."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from app.client.answers import (
    ChainOutcome,
    Evaluation,
    EventPage,
    HistoryPage,
    SurfaceLines,
    read_correlations,
    read_evaluation,
    read_events,
    read_lines,
    read_outcome,
    read_page,
    read_quotes,
    read_surface,
)
from app.service.correlation_document import Correlations
from app.service.document import SurfaceMessage
from app.service.quotes_document import SurfaceQuotes
from app.service.score_document import ModelScores, decode_report

T = TypeVar("T")

TRY_AGAIN: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request; ``read`` makes its answer of the body."""

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


def post_chain(
    venue: str, body: bytes | Mapping[str, Any], wait_s: float, key: str | None
) -> Call[ChainOutcome | SurfaceMessage]:
    """Return the call that sends a chain."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    params = {"wait_ms": str(round(wait_s * 1e3))}
    return Call("POST", f"/v1/chains/{_part(venue)}", _outcome_or_surface, params, headers, content)


def get_surface(underlying: str, at: str | None) -> Call[SurfaceMessage]:
    """Return the call that reads a surface."""
    return Call("GET", f"/v1/surfaces/{_part(underlying)}", read_surface, {"at": at} if at else {})


def list_surfaces() -> Call[SurfaceLines]:
    """Return the call that lists all surfaces."""
    return Call("GET", "/v1/surfaces", read_lines)


def get_history(underlying: str, limit: int, cursor: str | None) -> Call[HistoryPage]:
    """Return the call that reads a page of kept surfaces."""
    params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
    return Call("GET", f"/v1/surfaces/{_part(underlying)}/history", read_page, params)


def get_events(underlying: str | None, kind: str | None, limit: int, cursor: str | None) -> Call[EventPage]:
    """Return the call that reads a page of events."""
    asked = {"underlying": underlying, "kind": kind, "limit": str(limit), "cursor": cursor}
    return Call("GET", "/v1/events", read_events, {name: value for name, value in asked.items() if value is not None})


def get_metrics() -> Call[str]:
    """Return the call that reads the service's metrics."""
    return Call("GET", "/metrics", bytes.decode)


def get_chain(underlying: str, as_of: str) -> Call[dict[str, Any]]:
    """Return the call that reads the chain a surface was fitted to."""
    path = f"/v1/surfaces/{_part(underlying)}/chains/{_part(as_of)}"
    return Call("GET", path, msgspec.json.Decoder(dict[str, Any]).decode)


def get_quotes(underlying: str, at: str | None, version: str | None) -> Call[SurfaceQuotes]:
    """Return the call that reads the quotes a surface was fitted to."""
    asked = {"at": at, "version": version}
    params = {name: value for name, value in asked.items() if value is not None}
    return Call("GET", f"/v1/surfaces/{_part(underlying)}/quotes", read_quotes, params)


def get_scores(underlying: str) -> Call[ModelScores]:
    """Return the call that reads the scores of champion and challengers."""
    return Call("GET", f"/v1/models/{_part(underlying)}/scores", decode_report)


def get_correlations(
    underlyings: Sequence[str], window_minutes: int | None, bar_minutes: float | None, half_life_minutes: float | None
) -> Call[Correlations]:
    """Return the call that asks how underlyings move together; None leaves a number to the service."""
    asked = {
        "window_minutes": window_minutes,
        "bar_minutes": bar_minutes,
        "half_life_minutes": half_life_minutes,
    }
    params = {name: str(value) for name, value in asked.items() if value is not None}
    return Call("GET", "/v1/correlations", read_correlations, {"underlyings": ",".join(underlyings)} | params)


def evaluate(underlying: str, **query: Any) -> Call[Evaluation]:
    """Return the call that asks for vols; ``query`` holds the columns and options that are not None."""
    content = msgspec.json.encode({name: value for name, value in query.items() if value is not None})
    path = f"/v1/surfaces/{_part(underlying)}/evaluate"
    headers = {"Content-Type": "application/json", "Accept": "application/msgpack"}
    return Call("POST", path, read_evaluation, {}, headers, content)


def pause_s(tries: int, retry_after: str = "") -> float:
    """Return how long to wait before trying again: what the service asks for, else longer each time, with chance."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    return min(FIRST_RETRY_S * 2.0 ** min(tries, 10), LONGEST_RETRY_S) * random.uniform(0.5, 1.0)


Places = Sequence[Any] | None
"""A column of a query; None leaves it out."""


def _outcome_or_surface(body: bytes) -> ChainOutcome | SurfaceMessage:
    try:
        return read_surface(body)
    except msgspec.ValidationError:
        return read_outcome(body)


def _part(name: str) -> str:
    return quote(name, safe="")
