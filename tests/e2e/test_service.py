"""The whole service, started as a user starts it."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.e2e.conftest import LEASE_S, client_of, renamed
from tests.running_service import STOP_LIMIT_S, RunningService, is_running, running_service

ANSWER_LIMIT_S = 30.0


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
    surface = post(http, renamed(recorded[0], "WAIT"), wait_ms=10_000)
    assert surface["underlying"] == "WAIT"
    assert surface["slices"]


def test_the_newest_surface_is_served_with_its_version_as_etag(http, recorded):
    posted = post(http, renamed(recorded[0], "ETAG"), wait_ms=10_000)
    answer = http.get("/v1/surfaces/ETAG")
    assert answer.json()["version"] == posted["version"]
    assert answer.headers["etag"] == f'"{posted["version"]}"'
    assert http.get("/v1/surfaces/ETAG", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert "ETAG" in [each["underlying"] for each in http.get("/v1/surfaces").json()["surfaces"]]
    assert http.get("/v1/surfaces/NOBODY").status_code == 404


def test_vols_are_answered_by_delta_and_by_strike(http, recorded):
    post(http, renamed(recorded[0], "EVAL"), wait_ms=10_000)
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
    versions = [post(http, renamed(body, "HIST"), wait_ms=10_000)["version"] for body in recorded[:4]]
    first = http.get("/v1/surfaces/HIST/history", params={"limit": 3}).json()
    second = http.get("/v1/surfaces/HIST/history", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [each["version"] for each in first["surfaces"] + second["surfaces"]] == versions[::-1]
    stood_then = http.get("/v1/surfaces/HIST", params={"at": first["surfaces"][-1]["as_of"]}).json()
    assert stood_then["version"] == versions[1]


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


def test_a_killed_worker_costs_nothing(service, http, recorded):
    versions = []
    for number, body in enumerate(recorded[:30]):
        post(http, renamed(body, "KILL"))
        if number in (5, 15):
            os.kill(service.workers()[0], signal.SIGKILL)
        time.sleep(0.05)
    settle(http, "KILL")
    newest = http.get("/v1/surfaces/KILL").json()
    versions.append(newest["version"])
    last = json.loads(recorded[29])["collected_to_ms"]
    assert newest["as_of"].startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(last / 1000)))
    deadline = time.monotonic() + ANSWER_LIMIT_S + LEASE_S
    while len(service.workers()) < 2:
        assert time.monotonic() < deadline, "the killed worker was not started again"
        time.sleep(0.05)


def test_the_page_and_the_contracts_are_served(http):
    for path in ("/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics"):
        assert http.get(path).status_code == 200, path


def test_a_restart_is_quick_keeps_everything_and_leaves_no_process(tmp_path, recorded):
    with running_service(tmp_path / "data", SMILEKEEPER_WORKERS="1") as first:
        with client_of(first) as http:
            before = post(http, recorded[0], wait_ms=10_000)
        with subscribed(first, "surface.*"):
            pids = first.processes()
            assert len(pids) == 4, pids
            assert first.stop(signal.SIGINT) < STOP_LIMIT_S
        assert first.supervisor.returncode == 0
        assert [pid for pid in pids if is_running(pid)] == []
    with running_service(tmp_path / "data", SMILEKEEPER_WORKERS="1") as second:
        with client_of(second) as http:
            after = http.get("/v1/surfaces/BTC").json()
        assert after["version"] == before["version"]
        assert after["slices"] == before["slices"]


def test_a_killed_supervisor_takes_everything_with_it(tmp_path):
    with running_service(tmp_path / "data", SMILEKEEPER_WORKERS="1") as service:
        pids = service.processes()
        service.supervisor.kill()
        service.supervisor.wait()
        deadline = time.monotonic() + STOP_LIMIT_S
        while any(is_running(pid) for pid in pids):
            assert time.monotonic() < deadline, [line for pid, line in pids.items() if is_running(pid)]
            time.sleep(0.02)


def test_a_killed_store_is_started_again_with_what_it_knew(tmp_path, recorded):
    settings = {"SMILEKEEPER_WORKERS": "1", "SMILEKEEPER_APPENDFSYNC": "always"}
    with running_service(tmp_path / "data", **settings) as service, client_of(service) as http:
        before = post(http, recorded[0], wait_ms=10_000)
        (store,) = [pid for pid, line in service.processes().items() if "valkey-server" in line]
        others = set(service.processes()) - {store}
        os.kill(store, signal.SIGKILL)
        deadline = time.monotonic() + ANSWER_LIMIT_S
        query = {"wait_ms": 10_000}
        while (answer := http.post("/v1/chains/deribit", content=recorded[1], params=query)).status_code == 503:
            assert "retry-after" in answer.headers
            assert time.monotonic() < deadline, "the store did not come back"
            time.sleep(0.05)
        assert answer.json()["prev_version"] == before["version"]
        assert others <= set(service.processes()), "only the store was restarted"
