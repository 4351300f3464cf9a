"""Fleet over the store: the counters the scripts keep, read for readiness and metrics."""

from collections.abc import Mapping
from itertools import accumulate

from app.service.event import EventKind
from app.service.fleet_status import FleetStatus, UnderlyingCounts
from app.service.ports import SubmitOutcome
from app.store.keys import HISTOGRAM_BOUNDS_S, HISTOGRAM_BOUNDS_US, HISTOGRAMS, Keys
from app.store.links import Link
from app.store.quarantine import QUARANTINED

Fields = Mapping[bytes, bytes]

_PENDING = {b"queued": 1, b"running": 1}


class RedisFleet:
    """Counters, queue and workers; see ports.Fleet."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def status(self) -> FleetStatus:
        """Return counters, queue and workers. Raises StoreUnavailable."""
        keys = self._keys
        shards = keys.shards
        per_shard = [
            command
            for shard in shards
            for command in (
                ("SMEMBERS", keys.underlyings(shard)),
                ("HGETALL", keys.histograms(shard)),
                ("HGETALL", keys.counters(shard)),
                ("XLEN", keys.dead(shard)),
            )
        ]
        *answers, workers = await self._link.run_all([*per_shard, ("HGETALL", keys.workers())])
        names = sorted(name.decode() for members in answers[0::4] for name in members)
        hashes = await self._link.run_all([("HGETALL", keys.state(name)) for name in names])
        owners = await self._link.of_owners([keys.queue(shard) for shard in shards], [("TIME",), ("INFO", "memory")])
        states = dict(zip(names, hashes, strict=True))
        now_ms = [clock[0] * 1_000 + clock[1] // 1_000 for _, (clock, _) in owners]  # each node has its own clock
        counters = answers[2::4]
        alive = [fields for fields in map(_worker, workers.values()) if fields[0] > now_ms[0]]
        waited_s: dict[str, list[float]] = {str(shard): [] for shard in shards}
        for name, state in states.items():
            if state.get(b"state") == b"queued":
                shard = keys.shard_of(name)
                waited_s[str(shard)].append((now_ms[shard] - int(state[b"queued_ms"])) / 1e3)
        return FleetStatus(
            queue_depth={shard: len(each) for shard, each in waited_s.items()},
            queue_oldest_age_s={shard: max(each, default=0.0) for shard, each in waited_s.items()},
            workers_alive=len(alive),
            warm_workers=sum(warm for _, warm in alive),
            underlyings=tuple(_counts(name, state) for name, state in states.items()),
            histograms=_histograms(answers[1::4]),
            store_used_bytes=sum({node: int(memory["used_memory"]) for node, (_, memory) in owners}.values()),
            invalid_by_venue=_summed(counters, b"invalid:"),
            quarantined=dict.fromkeys(QUARANTINED, 0) | _summed(counters, b"quarantined:"),
            dead_letters=sum(answers[3::4]),
        )

    async def living_workers(self) -> set[str]:
        """Return the names of the workers that said lately that they live. Raises StoreUnavailable."""
        workers = await self._link.run("HGETALL", self._keys.workers())
        ((_, (clock,)),) = await self._link.of_owners([self._keys.workers()], [("TIME",)])
        now_ms = clock[0] * 1_000 + clock[1] // 1_000
        return {name.decode() for name, said in workers.items() if _worker(said)[0] > now_ms}


def _counts(underlying: str, state: Fields) -> UnderlyingCounts:
    def count(field: str) -> int:
        return int(state.get(field.encode(), 0))

    outcomes = {each.value: count(f"submit:{each}") for each in SubmitOutcome}
    outcomes[SubmitOutcome.DUPLICATE.value] = count("duplicate")
    outcomes[SubmitOutcome.STALE.value] = count("stale")
    failure = state.get(b"failure")
    return UnderlyingCounts(
        underlying=underlying,
        received=count("received"),
        fitted=count("fitted"),
        failed=count("failed"),
        superseded=count("superseded"),
        stale=count("stale"),
        duplicate=count("duplicate"),
        pending=_PENDING.get(state.get(b"state", b"idle"), 0) + (b"dirty" in state),
        reclaimed=count("reclaimed"),
        fenced=count("fenced"),
        dead_lettered=count("dead_lettered"),
        outcomes=outcomes,
        calibrations=_summed([state], b"calibration:"),
        last_failure=failure.decode() if failure else None,
        last_failure_as_of_ms=int(state[b"failure_as_of"]) if failure else None,
        events={kind.value: count(f"event:{kind}") for kind in EventKind},
    )


def _summed(hashes: list[Fields], prefix: bytes) -> dict[str, int]:
    totals: dict[str, int] = {}
    for fields in hashes:
        for field, value in fields.items():
            if field.startswith(prefix):
                name = field.removeprefix(prefix).decode()
                totals[name] = totals.get(name, 0) + int(value)
    return totals


def _histograms(hashes: list[Fields]) -> dict[str, tuple[tuple[tuple[float, int], ...], float, int]]:
    bounds = [*zip(HISTOGRAM_BOUNDS_US.split(","), HISTOGRAM_BOUNDS_S, strict=True), ("inf", float("inf"))]
    histograms = {}
    for name in HISTOGRAMS:
        found = _summed(hashes, f"{name}:".encode())
        cumulative = list(accumulate(found.get(field, 0) for field, _ in bounds))
        buckets = tuple((bound, count) for (_, bound), count in zip(bounds, cumulative, strict=True))
        histograms[name] = (buckets, found.get("sum_us", 0) / 1e6, cumulative[-1])
    return histograms


def _worker(announced: bytes) -> tuple[int, bool]:
    expires_ms, warm, *_ = announced.split(b"|", 3)
    return int(expires_ms), warm == b"1"
