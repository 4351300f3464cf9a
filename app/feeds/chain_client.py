"""Posting chains to a running service, each until it is taken or refused: a service that is away loses nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from threading import Event
from types import TracebackType
from typing import Any, Final, Self

import httpx

ANSWER_TIMEOUT_S: Final = 10.0
"""Longest wait for one answer; the service answers in milliseconds or with 503."""
FIRST_RETRY_S: Final = 0.25
"""Wait after a first failure that names no time itself; doubled each time."""
LONGEST_RETRY_S: Final = 5.0
"""Longest wait between tries when the service asks for none."""
GIVE_UP_AFTER_S: Final = 120.0
"""How long a service may stay away before the feed ends: longer than any restart."""

_TRY_AGAIN: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
"""Besides every server error."""
_CHAIN_REFUSED: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)

REFUSED: Final = "refused"
"""Outcome of a chain the service will never take; the others are the service's own words."""


class FeedRejected(Exception):
    """The service answers, but not to this feed: a wrong key, path or venue. No chain would fare better."""


class ServiceAway(Exception):
    """No usable answer for GIVE_UP_AFTER_S. The chain it was for was not taken."""


class Interrupted(Exception):
    """The feed was asked to stop while a chain waited to be taken."""


@dataclass(frozen=True, slots=True)
class ChainAnswer:
    """What became of a chain: the service's status or REFUSED with a ``detail``, after ``retries``."""

    outcome: str
    detail: str
    retries: int


class ChainClient:
    """One keep-alive connection to ``url``; a context manager. ``stop`` cuts every wait short."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        stop: Event | None = None,
        transport: httpx.BaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # trust_env is off: a proxy of the environment has no business between a feed and its service.
        headers = {"Content-Type": "application/json"} | ({"X-API-Key": api_key} if api_key else {})
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=ANSWER_TIMEOUT_S, transport=transport, trust_env=False
        )
        self._stop = stop or Event()
        self._monotonic = monotonic

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def post(self, venue: str, body: bytes) -> ChainAnswer:
        """Post a chain until the service has an answer to it.

        A chain whose first answer was lost on the way back is answered "duplicate" on the second try.
        Raises FeedRejected, ServiceAway, and Interrupted once ``stop`` is set.
        """
        deadline = self._monotonic() + GIVE_UP_AFTER_S
        retries = 0
        while True:
            answer, trouble, wait_s = self._try(venue, body)
            if answer is not None:
                return ChainAnswer(answer.outcome, answer.detail, retries)
            if wait_s is None:
                wait_s = min(FIRST_RETRY_S * 2.0 ** min(retries, 10), LONGEST_RETRY_S)
            if self._monotonic() + wait_s > deadline:
                raise ServiceAway(f"{self._http.base_url} for {GIVE_UP_AFTER_S:g} s, {retries + 1} tries: {trouble}")
            if self._stop.wait(wait_s):
                raise Interrupted(f"stopped after {retries + 1} tries: {trouble}")
            retries += 1

    def _try(self, venue: str, body: bytes) -> tuple[ChainAnswer | None, str, float | None]:
        """Return the answer, or why there is none and how long the service asks to wait."""
        try:
            response = self._http.post(f"/v1/chains/{venue}", content=body)
        except httpx.UnsupportedProtocol as error:
            raise FeedRejected(f"{self._http.base_url}: {error}") from error
        except httpx.TransportError as error:
            return None, f"{type(error).__name__}: {error}", None
        detail = f"{response.status_code} {_field(response, 'detail')}".rstrip()
        if response.is_success:
            return ChainAnswer(_field(response, "status") or str(response.status_code), "", 0), "", None
        if response.status_code in _CHAIN_REFUSED:
            return ChainAnswer(REFUSED, detail, 0), "", None
        if response.is_server_error or response.status_code in _TRY_AGAIN:
            return None, detail, _retry_after_s(response)
        raise FeedRejected(f"{response.request.method} {response.request.url}: {detail}")


def _field(response: httpx.Response, name: str) -> str:
    """Return a text member of a JSON answer, empty when there is none."""
    try:
        answer: Any = response.json()
    except ValueError:
        return ""
    value = answer.get(name) if isinstance(answer, dict) else None
    return value if isinstance(value, str) else ""


def _retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds of Retry-After; None without one, or for a date (RFC 9110, 10.2.3), which needs a clock."""
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isascii() and seconds.isdigit() else None
