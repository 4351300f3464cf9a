"""The client for asyncio."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from app.client import calls
from app.client.answers import ChainOutcome, Evaluation, Heard, HeardEvent, SurfaceLine, error_of
from app.client.calls import TRY_AGAIN, Call, Places, pause_s
from app.client.stream_state import StreamState, refuse_if_not_let_in
from app.service.correlation_document import Correlations
from app.service.document import SurfaceMessage
from app.service.event import EventMessage
from app.service.quotes_document import SurfaceQuotes
from app.service.score_document import ModelScores

T = TypeVar("T")


class AsyncClient:
    """One keep-alive connection to the service at ``url``; a context manager. Every method raises ServiceError."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 40.0,
        retry_for_s: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"X-API-Key": api_key} if api_key else {}
        self._retry_for_s = retry_for_s
        self._http = httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=timeout_s, transport=transport, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def post_chain(
        self, venue: str, body: bytes | Mapping[str, Any], *, wait_s: float = 0.0, idempotency_key: str | None = None
    ) -> ChainOutcome | SurfaceMessage:
        """Send a chain in the venue's format; with ``wait_s`` return its surface, if it is published in time."""
        return await self._do(calls.post_chain(venue, body, wait_s, idempotency_key))

    async def surface(self, underlying: str, *, at: str | None = None) -> SurfaceMessage:
        """Return the newest surface, or the one that stood ``at`` a time (ISO-8601, or milliseconds UTC as text)."""
        return await self._do(calls.get_surface(underlying, at))

    async def surfaces(self) -> list[SurfaceLine]:
        """Return a line about every surface."""
        return (await self._do(calls.list_surfaces())).surfaces

    async def history(self, underlying: str, *, page: int = 50) -> AsyncIterator[SurfaceMessage]:
        """Yield every kept surface, newest first, ``page`` a request."""
        cursor = None
        while True:
            found = await self._do(calls.get_history(underlying, page, cursor))
            for surface in found.surfaces:
                yield surface
            cursor = found.next_cursor
            if cursor is None:
                return

    async def events(
        self, underlying: str | None = None, *, kind: str | None = None, page: int = 50
    ) -> AsyncIterator[EventMessage]:
        """Yield every kept event, newest first, ``page`` a request; of one underlying and one kind where named."""
        cursor = None
        while True:
            found = await self._do(calls.get_events(underlying, kind, page, cursor))
            for event in found.events:
                yield event
            cursor = found.next_cursor
            if cursor is None:
                return

    async def metrics(self) -> str:
        """Return the service's metrics in Prometheus' text format; a key for some underlyings only may not."""
        return await self._do(calls.get_metrics())

    async def chain(self, underlying: str, as_of: str) -> dict[str, Any]:
        """Return the chain as of exactly this time that a kept surface was fitted to, in the native format."""
        return await self._do(calls.get_chain(underlying, as_of))

    async def quotes(self, underlying: str, *, at: str | None = None, version: str | None = None) -> SurfaceQuotes:
        """Return what the newest surface, or the one ``at`` a time or of a version, was fitted to, as vols."""
        return await self._do(calls.get_quotes(underlying, at, version))

    async def scores(self, underlying: str) -> ModelScores:
        """Return the out-of-sample scores of champion and challengers."""
        return await self._do(calls.get_scores(underlying))

    async def correlations(
        self,
        *underlyings: str,
        window_minutes: int | None = None,
        bar_minutes: float | None = None,
        half_life_minutes: float | None = None,
    ) -> Correlations:
        """Return how forwards and smiles of ``underlyings`` move together; None leaves a number to the service."""
        call = calls.get_correlations(underlyings, window_minutes, bar_minutes, half_life_minutes)
        return await self._do(call)

    async def evaluate(
        self,
        underlying: str,
        *,
        expiry: Places = None,
        tenor_days: Places = None,
        strike: Places = None,
        delta: Places = None,
        log_moneyness: Places = None,
        type: Places = None,
        greeks: bool = False,
        dynamics: str | Mapping[str, float] | None = None,
    ) -> Evaluation:
        """Return vols, prices and greeks at points in columns; each names one time and one place."""
        query = {"expiry": expiry, "tenor_days": tenor_days, "strike": strike, "delta": delta, "type": type}
        query |= {"log_moneyness": log_moneyness}
        return await self._do(calls.evaluate(underlying, **query, greeks=greeks, dynamics=dynamics))

    @overload
    def stream(self, *underlyings: str, events: Literal[False] = False) -> AsyncIterator[Heard]: ...

    @overload
    def stream(self, *underlyings: str, events: bool) -> AsyncIterator[Heard | HeardEvent]: ...

    async def stream(self, *underlyings: str, events: bool = False) -> AsyncIterator[Heard | HeardEvent]:
        """Yield surfaces as they are published, of all underlyings where none is named, for ever; and ``events``.

        A lost connection is made again and resumes after the last surface and event. Raises ChannelRejected, and
        ServiceError (401, 403) where the service does not let this client in.
        """
        state = StreamState(underlyings, events=events)
        url = self._url.replace("http", "ws", 1) + "/v1/stream"
        tries = 0
        while True:
            try:
                async with connect(url, additional_headers=self._headers, compression=None, proxy=None) as socket:
                    await socket.send(state.subscription())
                    async for message in socket:
                        tries = 0
                        if heard := state.take(message):
                            yield heard
            except ConnectionClosed as closed:
                refuse_if_not_let_in(closed)
            except (OSError, InvalidHandshake):  # away, or on its way up
                pass
            await asyncio.sleep(pause_s(tries))
            tries += 1

    async def _do(self, call: Call[T]) -> T:
        deadline = time.monotonic() + self._retry_for_s
        tries = 0
        while True:
            try:
                answer = await self._http.request(
                    call.method, call.path, params=call.params, headers=call.headers, content=call.content
                )
            except httpx.TransportError as error:
                trouble: Exception = error
                wait_s = pause_s(tries)
            else:
                if answer.is_success:
                    return call.read(answer.content)
                trouble = error_of(answer.status_code, answer.content)
                if answer.status_code not in TRY_AGAIN:
                    raise trouble
                wait_s = pause_s(tries, answer.headers.get("Retry-After", ""))
            if time.monotonic() + wait_s > deadline:
                raise trouble
            await asyncio.sleep(wait_s)
            tries += 1
