"""One process, a thousand subscribers: how late the frames are, and whether any update is missed without a word."""

import asyncio
import json
import time
from collections.abc import Iterator

import httpx
from websockets.asyncio.client import ClientConnection, connect

from app.service.iso_time import ms_of
from tests.bench.figure import Figure, percentiles
from tests.bench.market import next_chain
from tests.running_service import JSON, RunningService

SUBSCRIBERS = 1_000
UPDATES = 20
UPDATE_EVERY_S = 1.0
CONNECTED_AT_ONCE = 50
QUIET_S = 5.0
"""A subscriber that hears nothing for so long has heard all."""

_CALIBRATED_AT = '"calibrated_at":"'
_CONFLATED = '"conflated":'


def figures(service: RunningService) -> Iterator[Figure]:
    late_s, missing = asyncio.run(_measured(service))
    yield from percentiles(f"commit to frame, {SUBSCRIBERS:,} subscribers", late_s)
    yield Figure(f"updates neither sent nor counted, of {SUBSCRIBERS * UPDATES:,}", float(missing), "")


async def _measured(service: RunningService) -> tuple[list[float], int]:
    gate = asyncio.Semaphore(CONNECTED_AT_ONCE)
    async with httpx.AsyncClient(base_url=service.base_url, headers=JSON, timeout=30.0) as http:
        await _post(http)
        sockets = await asyncio.gather(*(_subscribed(service.stream_url, gate) for _ in range(SUBSCRIBERS)))
        hearing = [asyncio.create_task(_heard(socket)) for socket in sockets]
        for _ in range(UPDATES):
            await _post(http)
            await asyncio.sleep(UPDATE_EVERY_S)
        heard = await asyncio.gather(*hearing)
        await asyncio.gather(*(socket.close() for socket in sockets))
    late_s = [late for lates, _ in heard for late in lates]
    return late_s, sum(UPDATES - accounted for _, accounted in heard)


async def _post(http: httpx.AsyncClient) -> None:
    (await http.post("/v1/chains/deribit?wait_ms=10000", content=next_chain("FAN"))).raise_for_status()


async def _subscribed(url: str, gate: asyncio.Semaphore) -> ClientConnection:
    async with gate:
        socket = await connect(url, compression=None, max_size=None, open_timeout=60, ping_interval=None)
        await socket.send('{"op": "subscribe", "id": 1, "channels": ["surface.FAN"]}')
        for expected in ("ack", "snapshot"):
            answer = json.loads(await socket.recv())
            if expected not in (answer.get("op"), answer.get("type")):
                raise AssertionError(f"{expected} expected, got {str(answer)[:200]}")
        return socket


async def _heard(socket: ClientConnection) -> tuple[list[float], int]:
    """Return how late each frame was, and how many updates the frames account for."""
    late_s, accounted = [], 0
    while accounted < UPDATES:
        try:
            frame = await asyncio.wait_for(socket.recv(decode=True), QUIET_S)
        except TimeoutError:
            break
        at = frame.index(_CALIBRATED_AT) + len(_CALIBRATED_AT)
        late_s.append(time.time() - ms_of(frame[at : at + 24]) / 1e3)
        conflated = frame.index(_CONFLATED) + len(_CONFLATED)
        accounted += 1 + int(frame[conflated : frame.index(",", conflated)])
    return late_s, accounted
