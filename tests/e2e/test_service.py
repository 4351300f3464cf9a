"""The whole service, started as a user starts it."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.e2e.conftest import LEASE_S, client_of, renamed
from tests.faults.figures import timing
from tests.running_service import HANG_FACTOR, STOP_LIMIT_S, RunningService, is_running, running_service

ANSWER_LIMIT_S = 120.0
DURABLE = {"SMILEKEEPER_WORKERS": "1", "SMILEKEEPER_APPENDFSYNC": "always"}


def post(http: httpx.Client, body: bytes, **query: int) -> dict[str, Any]:
    answer = http.post("/v1/chains/deribit", content=body, params=query)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


@contextmanager
def subscribed(service: RunningService, *channels: str) -> Iterator[ClientConnection]:
    with connect(service.stream_url) as stream:
        stream.send(json.dumps({"op": "subscribe", "id": 7, "channels": channels}))
        ack = json.loads(stream.recv(timeout=ANSWER_LIMIT_S))
        assert (ack["op"], ack["id"], ack["accepted"], ack["rejected"]) == ("ack", 7, list(channels), [])
        yield stream


def counted(http: httpx.Client, metric: str, underlying: str) -> dict[str, float]:
    """Return the samples of ``metric`` for ``underlying``, by their labels."""
    lines = http.get("/metrics").text.splitlines()
    mine = [line for line in lines if line.startswith(metric + "{") and f'underlying="{underlying}"' in line]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in mine}


def total(http: httpx.Client, metric: str, underlying: str) -> float:
    return sum(counted(http, metric, underlying).values())


def settle(http: httpx.Client, underlying: str) -> None:
    """Wait until no chain of ``underlying`` waits or is being fitted."""
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while total(http, "volsurf_chains_pending", underlying):
        assert time.monotonic() < deadline, "a chain is still pending"
        time.sleep(0.02)


@pytest.mark.promise("T16")
def test_chains_become_surfaces_that_subscribers_get_in_order(service, http, recorded):
    with subscribed(service, "surface.FLOW") as stream:
        heard = []
        for body in recorded[:5]:
            post(http, renamed(body, "FLOW"))
            heard.append(json.loads(stream.recv(timeout=ANSWER_LIMIT_S)))
    assert [message["type"] for message in heard] == ["snapshot", "update", "update", "update", "update"]
    for before, after in pairwise(heard):
        assert after["prev_version"] == before["version"]
        assert int(after["version"]) > int(before["version"])
        assert after["data"]["as_of"] > before["data"]["as_of"]
        assert after["conflated"] == 0
    assert heard[0]["prev_version"] == "0"
    surface = heard[-1]["data"]
    assert surface["underlying"] == "FLOW"
    assert surface["certificate"]["arbitrage_free"] is True
    assert surface["fit"]["quotes_used"] > 100
    assert surface["drift"]["vol_rms"] is not None
    assert {"vol", "log_moneyness"} <= surface["units"].keys()


def test_a_post_can_wait_for_its_surface(http, recorded):
    surface = post(http, renamed(recorded[0], "WAIT"), wait_ms=30_000)
    assert surface["underlying"] == "WAIT"
    assert surface["slices"]


def test_the_newest_surface_is_served_with_its_version_as_etag(http, recorded):
    posted = post(http, renamed(recorded[0], "ETAG"), wait_ms=30_000)
    answer = http.get("/v1/surfaces/ETAG")
    assert answer.json()["version"] == posted["version"]
    assert answer.headers["etag"] == f'"{posted["version"]}"'
    assert http.get("/v1/surfaces/ETAG", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert "ETAG" in [each["underlying"] for each in http.get("/v1/surfaces").json()["surfaces"]]
    assert http.get("/v1/surfaces/NOBODY").status_code == 404


def test_vols_are_answered_by_delta_and_by_strike(http, recorded):
    post(http, renamed(recorded[0], "EVAL"), wait_ms=30_000)
    query = {
        "tenor_days": [30, 30, 30, 7],
        "delta": ["25P", "ATM", "25C", None],
        "strike": [None, None, None, 30_000],
        "greeks": True,
    }
    answer = http.post("/v1/surfaces/EVAL/evaluate", json=query).json()
    assert answer["status"] == ["ok"] * 4
    assert all(0.2 < vol < 2.0 for vol in answer["vol"])
    assert answer["delta"][2] == pytest.approx(0.25, abs=1e-6)
    assert answer["delta"][0] == pytest.approx(-0.25, abs=1e-6)


def test_history_pages_back_through_every_surface(http, recorded):
    versions = [post(http, renamed(body, "HIST"), wait_ms=30_000)["version"] for body in recorded[:4]]
    first = http.get("/v1/surfaces/HIST/history", params={"limit": 3}).json()
    second = http.get("/v1/surfaces/HIST/history", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [each["version"] for each in first["surfaces"] + second["surfaces"]] == versions[::-1]
    stood_then = http.get("/v1/surfaces/HIST", params={"at": first["surfaces"][-1]["as_of"]}).json()
    assert stood_then["version"] == versions[1]


@pytest.mark.promise("T1")
def test_every_chain_is_accounted_for(http, recorded):
    for body in (recorded[3], recorded[3], recorded[1], *recorded[4:20]):
        post(http, renamed(body, "LEDGER"))
    settle(http, "LEDGER")
    by_outcome = counted(http, "volsurf_snapshots_total", "LEDGER")
    count = {re.search('outcome="(.*?)"', labels)[1]: value for labels, value in by_outcome.items()}
    assert sum(count.values()) == 19
    assert (count["dup"], count["stale"]) == (1, 1)
    ended = [f"volsurf_{end}_total" for end in ("fitted", "failed", "superseded")]
    assert sum(total(http, metric, "LEDGER") for metric in ended) == 17
    assert total(http, "volsurf_fitted_total", "LEDGER") >= 1


@pytest.mark.promise("T2")
def test_a_killed_worker_costs_nothing(service, http, recorded):
    for number, body in enumerate(recorded[:30]):
        post(http, renamed(body, "KILL"))
        if number in (5, 15):
            os.kill(service.workers()[0], signal.SIGKILL)
        time.sleep(0.05)
    settle(http, "KILL")
    newest = http.get("/v1/surfaces/KILL").json()
    last = json.loads(recorded[29])["collected_to_ms"]
    assert newest["as_of"].startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(last / 1000)))
    deadline = time.monotonic() + ANSWER_LIMIT_S + LEASE_S
    while len(service.workers()) < 2:
        assert time.monotonic() < deadline, "the killed worker was not started again"
        time.sleep(0.05)


def test_the_page_and_the_contracts_are_served(http):
    for path in ("/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics"):
        assert http.get(path).status_code == 200, path


@dataclass(frozen=True)
class Stopped:
    """A service that was ended as Ctrl-C ends it, with a subscriber connected."""

    data_dir: Path
    surface: dict[str, Any]
    processes: dict[int, str]
    exit_code: int
    stop_s: float


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, recorded) -> Stopped:
    data_dir = tmp_path_factory.mktemp("stopped") / "data"
    with running_service(data_dir, **DURABLE) as service:
        with client_of(service) as http:
            surface = post(http, recorded[0], wait_ms=30_000)
        with subscribed(service, "surface.*"):
            processes = service.processes()
            stop_s = service.stop(signal.SIGINT)
    return Stopped(data_dir, surface, processes, service.supervisor.returncode, stop_s)


@pytest.fixture(scope="module")
def restarted(stopped) -> Iterator[RunningService]:
    with running_service(stopped.data_dir, **DURABLE) as service:
        yield service


@pytest.mark.promise("T22")
def test_ctrl_c_ends_everything_in_time(stopped):
    assert len(stopped.processes) == 4, stopped.processes
    assert [pid for pid in stopped.processes if is_running(pid)] == []
    assert stopped.exit_code == 0
    timing("T22", "Ctrl-C to the end of everything", stopped.stop_s, "s", at_most=STOP_LIMIT_S)


def test_a_restart_keeps_everything(stopped, restarted):
    with client_of(restarted) as http:
        surface = http.get("/v1/surfaces/BTC").json()
    assert surface["version"] == stopped.surface["version"]
    assert surface["slices"] == stopped.surface["slices"]


@pytest.mark.promise("T4")
def test_a_killed_store_is_started_again_with_what_it_knew(stopped, restarted, recorded):
    (store,) = [pid for pid, line in restarted.processes().items() if "valkey-server" in line]
    others = set(restarted.processes()) - {store}
    os.kill(store, signal.SIGKILL)
    deadline = time.monotonic() + ANSWER_LIMIT_S
    with client_of(restarted) as http:
        query = {"wait_ms": 30_000}
        while (answer := http.post("/v1/chains/deribit", content=recorded[1], params=query)).status_code == 503:
            assert "retry-after" in answer.headers
            assert time.monotonic() < deadline, "the store did not come back"
            time.sleep(0.05)
    assert answer.json()["prev_version"] == stopped.surface["version"]
    assert others <= set(restarted.processes()), "only the store was restarted"


def test_a_killed_supervisor_takes_everything_with_it(restarted):
    pids = restarted.processes()
    restarted.supervisor.kill()
    restarted.supervisor.wait()
    deadline = time.monotonic() + HANG_FACTOR * STOP_LIMIT_S
    while running := [line for pid, line in pids.items() if is_running(pid)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.02)
