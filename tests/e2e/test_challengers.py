"""A service with a challenger on a recorded market: scored, promoted, and the next surface is the promoted model's."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import client_of, renamed
from tests.e2e.test_service import post
from tests.running_service import RunningService, running_service

ANSWER_LIMIT_S = 120.0


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("contest")
    with running_service(folder / "data", SMILEKEEPER_WORKERS="1", SMILEKEEPER_CHALLENGERS="svi,essvi") as running:
        yield running


def scores(http: httpx.Client, underlying: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while True:
        answer = http.get(f"/v1/models/{underlying}/scores")
        if answer.status_code == 200 and until(answer.json()):
            return answer.json()
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def scored_at(as_of: str) -> Callable[[dict[str, Any]], bool]:
    return lambda report: report["as_of"] == as_of


def test_a_challenger_is_scored_and_promoted(contest: RunningService, recorded: list[bytes]) -> None:
    with client_of(contest) as http:
        assert http.get("/v1/models/DUEL/scores").status_code == 404
        for body in recorded[:10]:
            surface = post(http, renamed(body, "DUEL"), wait_ms=30_000)
            assert surface["model"] == "svi_spline"
            report = scores(http, "DUEL", scored_at(surface["as_of"]))
        assert [(each["model"], each["role"], each["n"]) for each in report["models"]] == [
            ("svi_spline", "champion", 9),
            ("essvi", "challenger", 9),
            ("svi", "challenger", 9),
        ]
        assert report["models"][1]["verdict"] == "worse"
        assert all(each["arbitrage_free"] == 1.0 for each in report["models"])
        text = http.get("/metrics").text
        assert 'volsurf_model_score{model="svi",score="log",underlying="DUEL"}' in text
        assert 'volsurf_model_dm_statistic{model="essvi",underlying="DUEL"}' in text

        assert http.post("/v1/models/DUEL/promotion", json={"model": "sabr"}).status_code == 422
        answer = http.post("/v1/models/DUEL/promotion", json={"model": "svi"})
        assert answer.json() == {"underlying": "DUEL", "model": "svi", "before": None}
        surface = post(http, renamed(recorded[10], "DUEL"), wait_ms=30_000)
        assert surface["model"] == "svi"
        assert surface["certificate"]["arbitrage_free"] is True
        report = scores(http, "DUEL", scored_at(surface["as_of"]))
        assert (report["champion"], report["promoted"]) == ("svi", "svi")
        assert [each["model"] for each in report["models"]] == ["svi", "essvi", "svi_spline"]
        assert 'volsurf_promotions_total{underlying="DUEL"} 1.0' in http.get("/metrics").text


def test_a_promotion_survives_a_restart(contest: RunningService, recorded: list[bytes]) -> None:
    settings = {"SMILEKEEPER_WORKERS": "1", "SMILEKEEPER_APPENDFSYNC": "always"}
    folder = contest.data_dir.parent / "restarted"
    with running_service(folder, **settings) as first, client_of(first) as http:
        post(http, renamed(recorded[0], "STAY"), wait_ms=30_000)
        assert http.post("/v1/models/STAY/promotion", json={"model": "svi"}).status_code == 200
        first.stop()
    with running_service(folder, **settings) as second, client_of(second) as http:
        assert post(http, renamed(recorded[1], "STAY"), wait_ms=30_000)["model"] == "svi"
        assert http.get("/v1/models/STAY/scores").status_code == 404, "without challengers there is no contest"
