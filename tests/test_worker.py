"""A worker's lines name the chain they are about, and the version that came of it."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from app import logs
from app.service.audit import chain_sha256
from app.service.ports import Claim
from app.service.recalibrate import Fitted, Unfit
from app.worker import run_worker
from tests.servers import RealServer, shared_valkey, valkey  # noqa: F401  fixtures
from tests.store.stored import AS_OF_MS, CHAIN, OpenStore, opened

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(logging.DEBUG, "json", "w", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def worked(store: OpenStore, answer: Callable[[Claim], Fitted | Unfit]) -> None:
    """Let a worker answer for the chain that waits."""
    stop = threading.Event()

    def once(claim: Claim) -> Fitted | Unfit:
        stop.set()
        return answer(claim)

    options = {"name": "w", "lease_s": 3_600.0, "fit_limit_s": 60.0, "stop": stop}
    run_worker(store.worker(), recalibrate=once, warm_up=lambda: None, **options)  # type: ignore[arg-type]


def test_a_published_surface_is_named(valkey: RealServer, lines: Lines) -> None:  # noqa: F811
    with opened(valkey.url) as store:
        store.submit(sequence=7)
        worked(store, lambda _: Fitted(b"{}", "ok"))
        surface = store.run(store.api.surfaces.newest("BTC"))
    assert surface is not None
    ids = {"underlying": "BTC", "as_of": "2026-08-01T17:58:04.000Z", "sequence": 7, "chain": chain_sha256(CHAIN)[:12]}
    told = {str(line["event"]): line for line in lines()}
    assert ids.items() <= told["settled"].items()
    assert ids.items() <= told["surface_published"].items()
    assert (told["settled"]["version"], told["settled"]["level"]) == (str(surface.version), "debug")


def test_a_defect_is_named_and_an_event(valkey: RealServer, lines: Lines) -> None:  # noqa: F811
    def broken(_: Claim) -> Fitted:
        raise ZeroDivisionError("1/0")

    with opened(valkey.url) as store:
        store.submit(as_of_ms=AS_OF_MS)
        worked(store, partial(broken))
        (event,) = store.run(store.api.events.page(before=None, limit=9))
    assert (event.kind, event.values["status"]) == ("failed", "error")
    assert event.message.endswith("ZeroDivisionError: 1/0")
    raised = next(line for line in lines() if line["event"] == "fit_raised")
    assert (raised["underlying"], raised["sequence"]) == ("BTC", 0)
