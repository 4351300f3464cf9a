"""Chains a second by workers and underlyings, what an underlying weighs in the store, and commit to frame."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import redis
from websockets.sync.client import ClientConnection, connect

from app.service.iso_time import ms_of
from app.store.data_folder import running_url
from app.store.keys import Keys
from tests.bench.figure import Figure, percentiles
from tests.bench.market import next_chain
from tests.running_service import JSON, RunningService, running_service

WORKERS = (1, 2)
CROWDS = (50, 500)
"""Underlyings of the rounds that are drained; a single one is fitted in order, by one worker at a time."""
ROUNDS_ALONE = 100


def figures(data_dir: Path) -> Iterator[Figure]:
    for workers in WORKERS:
        folder = data_dir.with_name(f"{workers}-workers")
        with (
            running_service(folder, SMILEKEEPER_WORKERS=str(workers)) as service,
            httpx.Client(base_url=service.base_url, headers=JSON, timeout=30.0) as http,
            connect(service.stream_url, compression=None, max_size=None) as stream,
            redis.Redis.from_url(running_url(folder), protocol=2) as store,
        ):
            stream.send('{"op": "subscribe", "id": 1, "channels": ["surface.*"]}')
            stream.recv(timeout=10)
            bench = _Bench(service, http, stream, store)
            yield from bench.alone(workers)
            for crowd in CROWDS:
                yield from bench.crowd(workers, crowd)


class _Bench:
    def __init__(
        self, service: RunningService, http: httpx.Client, stream: ClientConnection, store: "redis.Redis"
    ) -> None:
        self._workers = service.workers()
        self._http = http
        self._stream = stream
        self._store = store

    def alone(self, workers: int) -> Iterator[Figure]:
        """One underlying, a chain as soon as the surface of the last one was heard."""
        to_frame_s = []
        self._post("ALONE")
        self._stream.recv(timeout=30)
        began = time.perf_counter()
        for _ in range(ROUNDS_ALONE):
            self._post("ALONE")
            frame = json.loads(self._stream.recv(timeout=30))
            to_frame_s.append(time.time() - ms_of(frame["data"]["calibrated_at"]) / 1e3)
        rate = ROUNDS_ALONE / (time.perf_counter() - began)
        yield Figure(f"chains, {_count(workers, 'worker')}, 1 underlying, one after the other", rate, "1/s")
        yield from percentiles(f"commit to frame, {_count(workers, 'worker')}, to the store's millisecond", to_frame_s)

    def crowd(self, workers: int, underlyings: int) -> Iterator[Figure]:
        """A waiting chain of each underlying, cold and warm."""
        names = [f"C{underlyings}N{number}" for number in range(underlyings)]
        empty = self._used_kib()
        self._drain_s(names)
        one_each = self._used_kib()
        seconds = self._drain_s(names)
        two_each = self._used_kib()
        crowd = f"{_count(workers, 'worker')}, {underlyings} underlyings"
        yield Figure(f"chains, {crowd} waiting", underlyings / seconds, "1/s")
        if workers == WORKERS[0]:
            yield Figure(f"store, first surface of each of {underlyings}", (one_each - empty) / underlyings, "KiB")
            yield Figure(f"store, next surface of each of {underlyings}", (two_each - one_each) / underlyings, "KiB")

    def _drain_s(self, names: list[str]) -> float:
        """Return the time from the workers' release to the last of the surfaces."""
        for worker in self._workers:
            os.kill(worker, signal.SIGSTOP)
        try:
            for name in names:
                self._post(name)
        finally:
            released = time.perf_counter()
            for worker in self._workers:
                os.kill(worker, signal.SIGCONT)
        for _ in names:
            self._stream.recv(timeout=60)
        return time.perf_counter() - released

    def _post(self, underlying: str) -> None:
        self._http.post("/v1/chains/deribit", content=next_chain(underlying)).raise_for_status()

    def _used_kib(self) -> float:
        """Return what the store holds but for the update log, whose length is bounded whatever is in it."""
        update_log = self._store.memory_usage(Keys().updates(0), samples=0) or 0
        return (float(self._store.info("memory")["used_memory"]) - update_log) / 1024.0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
