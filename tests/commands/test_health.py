"""The night screen against the real API: what it says, and what it exits with."""

import asyncio
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from app.__main__ import main
from app.api.app import create_app
from app.api.server import listening_socket, server_for
from app.api.services import ApiServices
from app.commands.health import Health, counters_of, problems_of
from app.commands.health_screen import WIDTH, duration, screen
from app.metrics import ServiceMetrics
from app.service.access_key import Scope
from app.service.document import ConfidenceDocument, DriftAlarm, DriftDocument, SurfaceMessage, TenorDrift
from tests.api.conftest import services, store
from tests.api.documents import document
from tests.api.key_ring import MemoryKeyRing, strict_gate
from tests.api.memory_store import MemoryStore
from tests.running_service import free_port

__all__ = ["services", "store"]

Asked = Callable[..., tuple[int, str, str]]


@contextlib.contextmanager
def served(services: ApiServices) -> Iterator[str]:
    """Serve in a thread of its own: the command blocks."""
    server = server_for(create_app(services), max_message_bytes=1 << 20)
    with listening_socket("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asked:
    def asked(*arguments: str) -> tuple[int, str, str]:
        code = main(["health", *arguments])
        return code, *capsys.readouterr()

    return asked


def message(**changes: Any) -> SurfaceMessage:
    envelope = {"version": "110", "prev_version": "100", "calibrated_at": "2026-08-01T17:58:04.520Z"}
    fields = msgspec.structs.asdict(document()) | envelope | {"age_ms": 1_000, "stale": False} | changes
    return SurfaceMessage(**fields)


def test_a_healthy_surface_exits_with_0(services: ApiServices, store: MemoryStore, ask: Asked) -> None:
    store.publish("BTC")
    store.events.say("published ok again after degraded")
    with served(services) as url:
        code, said, _ = ask("BTC", "--url", url)
        assert code == 0, said
        lines = said.splitlines()
        assert lines[0] == "BTC is HEALTHY"
        assert "version 100, as of 2026-08-01T17:58:04.320Z, 1.0 s old" in said
        assert "rmse 0.300 vol points, worst 1.10, 98.0% of the quotes inside bid and ask" in said
        assert "free of arbitrage (exact): least g 0.01" in said
        assert "gate: published ok again after degraded" in said
        assert max(map(len, lines)) <= WIDTH
        code, said, _ = ask("BTC", "--url", url, "--json")
        health = msgspec.json.decode(said, type=Health)
        assert (code, health.healthy, health.surface.version) == (0, True, "100")
        assert health.counters is not None
        assert health.counters["fitted"] == 3


@pytest.mark.parametrize(
    ("changes", "as_of_ms", "problem"),
    [
        ({"status": "degraded", "reason": "margin: least Durrleman g is 5e-05"}, None, "degraded: margin"),
        ({}, 1_000, "stale: the market it shows is"),
    ],
)
def test_a_degraded_or_stale_one_exits_with_1(
    services: ApiServices, store: MemoryStore, ask: Asked, changes: dict[str, str], as_of_ms: int, problem: str
) -> None:
    store.publish("BTC", as_of_ms=as_of_ms, **changes)
    with served(services) as url:
        code, said, _ = ask("BTC", "--url", url)
    assert code == 1
    assert said.startswith(f"BTC is NOT HEALTHY\n- {problem}")


def test_no_surface_and_no_service_exit_with_2(services: ApiServices, ask: Asked) -> None:
    with served(services) as url:
        code, _, said = ask("SOL", "--url", url)
        assert (code, "there is no surface of 'SOL'" in said) == (2, True)
    code, _, said = ask("BTC", "--url", f"http://127.0.0.1:{free_port()}")
    assert code == 2
    assert said.startswith("BTC at http://127.0.0.1:")


def test_a_key_comes_from_the_environment(
    services: ApiServices, store: MemoryStore, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = MemoryKeyRing()
    store.publish("BTC")
    one = ring.make(Scope.READ, underlyings={"BTC"})
    with served(dataclasses.replace(services, gate=strict_gate(ring))) as url:
        code, _, said = ask("BTC", "--url", url)
        assert (code, "401" in said) == (2, True)
        monkeypatch.setenv("SMILEKEEPER_KEY", one)
        code, said, _ = ask("BTC", "--url", url)
        assert code == 0
        assert "not shown: the key is not for every underlying" in said
        assert one not in said


def test_everything_that_is_wrong_is_on_the_screen() -> None:
    alarm = DriftAlarm("cusum", "1w", "level", 10.96, 9.5, "2023-04-12T13:02:01.000Z")
    surface = message(
        regime="shift",
        regime_reason="spread moved by 0.919, 15.3 times its usual change",
        drift=DriftDocument(0.0042, [], [TenorDrift("1w", 0.005)], [], alarms=[alarm]),
        confidence=ConfidenceDocument(0.95, 0.93, {"1w/atm": 0.96, "1w/puts": 0.71}),
        stale=True,
    )
    counters = {"received": 9, "fitted": 3, "failed": 1, "superseded": 2, "pending": 1, "stale": 1, "duplicate": 0}
    lines = screen(surface, problems_of(surface), "chain as of 13:00: no smile", counters, [])
    assert max(map(len, lines)) <= WIDTH
    said = " ".join(" ".join(lines).split())
    for expected in (
        "STALE",
        "last failure chain as of 13:00: no smile",
        "shift: spread moved by 0.919",
        "0.420 vol points since the surface before: 1w 0.500",
        "ALARM cusum of the 1w level: 10.96, limit 9.5",
        "93.0% of the quotes within bars of 95%",
        "1w/puts 71.0% LOW",
        "9 received = 3 fitted + 1 failed",
        "+1 UNACCOUNTED FOR",
        "none is kept",
    ):
        assert expected in said


def test_the_counters_are_those_of_the_conservation_law(store: MemoryStore) -> None:
    store.publish("BTC")
    text = ServiceMetrics("1").exposition(asyncio.run(store.status()), []).decode()
    counters = counters_of(text, "BTC")
    assert {name: counters[name] for name in ("fitted", "failed", "superseded", "pending", "duplicate")} == {
        "fitted": 3,
        "failed": 1,
        "superseded": 2,
        "pending": 1,
        "duplicate": 1,
    }
    assert set(counters_of(text, "ETH").values()) == {0}


@pytest.mark.parametrize(
    ("ms", "said"),
    [(210, "0.2 s"), (119_000, "119.0 s"), (120_000, "2 min"), (3 * 3_600_000, "3 h"), (49 * 3_600_000, "2 days")],
)
def test_an_age_is_in_units_for_people(ms: int, said: str) -> None:
    assert duration(ms) == said
