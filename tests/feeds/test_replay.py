import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.feeds.chain_client import GIVE_UP_AFTER_S, ChainClient, FeedRejected, ServiceAway
from app.feeds.recording import SHIPPED
from app.feeds.replay import ReplayResult, replay
from app.venues import VENUES

START_MS = 1_785_607_084_320
Answer = Callable[[httpx.Request], httpx.Response]


class FakeTime(threading.Event):
    """A stop event whose waits pass at once and move the clock it carries."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        self.now_s += timeout or 0.0
        return self.is_set()

    def monotonic(self) -> float:
        return self.now_s


class Service:
    """Answers like the service: scripted answers first, then 202 queued. Keeps what it took."""

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []
        self.taken: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        venue = VENUES[request.url.path.rpartition("/")[2]]
        self.taken.append(venue.parse(request.content, received_ms=0).as_of_ms)
        return httpx.Response(202, json={"status": "queued"})


def recording(folder: Path, underlying: str, seconds: list[float]) -> Path:
    path = folder / f"native_{underlying.lower()}.jsonl"
    body = json.loads(VENUES["native"].example) | {"underlying": underlying}
    lines = [json.dumps(body | {"as_of": START_MS + round(1000 * at)}) for at in seconds]
    path.write_text("\n".join(lines))
    return path


def run(paths: list[Path], service: Answer, *, speed: float = float("inf"), **options: Any) -> ReplayResult:
    fake = options.pop("stop", None) or FakeTime()
    return replay(
        paths,
        url="http://127.0.0.1:8080",
        speed=speed,
        stop=fake,
        monotonic=fake.monotonic,
        transport=httpx.MockTransport(service),
        **options,
    )


def test_chains_the_service_has_are_left_out(tmp_path: Path) -> None:
    service = Service()
    paths = [recording(tmp_path, "BTC", [0, 10, 20]), recording(tmp_path, "ETH", [5, 15])]
    fake = FakeTime()
    result = run(paths, service, speed=1.0, stop=fake, after_ms=START_MS + 10_000)
    assert service.taken == [START_MS + 15_000, START_MS + 20_000]
    assert (result.sent, result.complete) == (2, True)
    assert sum(fake.waits) == pytest.approx(5.0)


def test_shipped_series_interleave_by_time() -> None:
    service = Service()
    result = run(list(SHIPPED), service)
    assert (result.sent, dict(result.outcomes), result.retries, result.complete) == (128, {"queued": 128}, 0, True)
    assert service.taken == sorted(service.taken)
    assert result.as_of_ms == service.taken[-1]
    assert {request.url.path for request in service.requests} == {"/v1/chains/deribit"}


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_the_pace_is_that_of_the_recording(tmp_path: Path, speed: float) -> None:
    fake = FakeTime()
    seen: list[float] = []

    def service(request: httpx.Request) -> httpx.Response:
        seen.append(fake.now_s)
        fake.now_s += 0.001
        return httpx.Response(202, json={"status": "queued"})

    run(
        [recording(tmp_path, "BTC", [0, 300, 600]), recording(tmp_path, "ETH", [90, 390])],
        service,
        speed=speed,
        stop=fake,
    )
    assert seen == pytest.approx([1000.0 + at / speed for at in (0, 90, 300, 390, 600)])


def test_a_late_replay_catches_up(tmp_path: Path) -> None:
    away = httpx.Response(503, headers={"Retry-After": "25"})
    fake = FakeTime()
    run([recording(tmp_path, "BTC", [0, 10, 20, 30])], Service(away), speed=1.0, stop=fake)
    assert fake.waits == [0.0, 25.0, 0.0, 0.0, 5.0]


def test_nothing_is_lost_while_the_service_is_away(tmp_path: Path) -> None:
    troubles: list[httpx.Response | Exception] = [
        httpx.Response(503, headers={"Retry-After": "3"}, json={"detail": "no store"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("silent"),
        httpx.Response(500),
        httpx.Response(429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    ]
    service, fake = Service(*troubles), FakeTime()
    result = run([recording(tmp_path, "BTC", [0, 1, 2])], service, stop=fake)
    assert service.taken == [START_MS, START_MS + 1000, START_MS + 2000]
    assert (result.sent, result.retries, result.complete) == (3, 5, True)
    assert fake.waits[1:6] == [3.0, 0.5, 1.0, 2.0, 4.0], "Retry-After as asked, else doubling"


def test_a_service_that_stays_away_ends_the_replay(tmp_path: Path) -> None:
    fake = FakeTime()

    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(ServiceAway, match="connection refused"):
        run([recording(tmp_path, "BTC", [0])], gone, stop=fake)
    assert fake.now_s - 1000.0 <= GIVE_UP_AFTER_S


def test_a_wait_longer_than_patience_is_not_begun(tmp_path: Path) -> None:
    fake = FakeTime()
    with pytest.raises(ServiceAway):
        run([recording(tmp_path, "BTC", [0])], Service(httpx.Response(503, headers={"Retry-After": "3600"})), stop=fake)
    assert fake.now_s == 1000.0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_chain_is_counted_and_the_next_is_sent(tmp_path: Path, status: int) -> None:
    service = Service(httpx.Response(status, json={"detail": "bid is NaN"}))
    result = run([recording(tmp_path, "BTC", [0, 1])], service)
    assert dict(result.outcomes) == {"refused": 1, "queued": 1}
    assert result.last_refusal == f"{status} bid is NaN"
    assert result.complete


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 415])
def test_a_feed_that_is_not_wanted_ends(tmp_path: Path, status: int) -> None:
    service = Service(httpx.Response(status, json={"detail": "no such key"}))
    with pytest.raises(FeedRejected, match=f"{status} no such key"):
        run([recording(tmp_path, "BTC", [0, 1])], service)
    assert len(service.requests) == 1


def test_a_url_without_scheme_is_rejected_at_once(tmp_path: Path) -> None:
    with pytest.raises(FeedRejected):
        replay([recording(tmp_path, "BTC", [0])], url="localhost:8080", speed=1.0)


def test_outcomes_are_the_services_words(tmp_path: Path) -> None:
    words = ["queued", "coalesced", "deferred", "duplicate", "stale"]
    service = Service(*(httpx.Response(200, json={"status": word}) for word in words))
    result = run([recording(tmp_path, "BTC", [0, 1, 2, 3, 4])], service)
    assert dict(result.outcomes) == dict.fromkeys(words, 1)


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b'{"status": 5}'])
def test_an_answer_without_a_word_counts_as_its_code(tmp_path: Path, content: bytes) -> None:
    result = run([recording(tmp_path, "BTC", [0])], Service(httpx.Response(202, content=content)))
    assert dict(result.outcomes) == {"202": 1}


def test_the_key_is_sent_and_bodies_are_unchanged(tmp_path: Path) -> None:
    service = Service()
    path = recording(tmp_path, "BTC", [0])
    run([path], service, api_key="secret")
    (request,) = service.requests
    assert request.headers["X-API-Key"] == "secret"
    assert request.headers["Content-Type"] == "application/json"
    assert request.content == path.read_bytes()


def test_progress_is_told_after_every_chain(tmp_path: Path) -> None:
    heard: list[ReplayResult] = []
    result = run([recording(tmp_path, "BTC", [0, 1, 2])], Service(), on_progress=heard.append)
    assert [each.sent for each in heard] == [1, 2, 3]
    assert [each.complete for each in heard] == [False] * 3
    assert result.complete


def test_stopping_between_chains(tmp_path: Path) -> None:
    fake = FakeTime()
    result = run([recording(tmp_path, "BTC", [0, 1, 2])], Service(), stop=fake, on_progress=lambda _: fake.set())
    assert (result.sent, result.complete) == (1, False)


def test_stopping_while_the_service_is_away(tmp_path: Path) -> None:
    fake = FakeTime()

    def away(request: httpx.Request) -> httpx.Response:
        fake.set()
        return httpx.Response(503)

    result = run([recording(tmp_path, "BTC", [0, 1])], away, stop=fake)
    assert (result.sent, result.complete) == (0, False)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_speed_is_positive(tmp_path: Path, speed: float) -> None:
    with pytest.raises(ValueError, match="speed is"):
        run([recording(tmp_path, "BTC", [0])], Service(), speed=speed)


def test_over_a_real_socket_on_one_connection(tmp_path: Path) -> None:
    ports: set[int] = set()
    sizes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            ports.add(self.client_address[1])
            sizes.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.send_header("Content-Length", "20")
            self.end_headers()
            self.wfile.write(b'{"status": "queued"}')

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            result = replay([recording(tmp_path, "BTC", [0, 1, 2])], url=url, speed=float("inf"))
        finally:
            server.shutdown()
            serving.join()
    assert dict(result.outcomes) == {"queued": 3}
    assert len(ports) == 1
    assert len(sizes) == 3


def test_the_client_waits_on_a_real_event(tmp_path: Path) -> None:
    with ChainClient("http://127.0.0.1:1", transport=httpx.MockTransport(Service(httpx.Response(503)))) as client:
        answer = client.post("native", VENUES["native"].example)
    assert (answer.outcome, answer.retries) == ("queued", 1)
