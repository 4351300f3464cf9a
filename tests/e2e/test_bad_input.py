"""Whatever is posted: never a 5xx, never a changed surface, never a dead worker."""

import json
from typing import Any

import pytest

from tests.e2e.conftest import renamed
from tests.e2e.test_service import post, settle

EXPIRY = "2024-06-28T08:00:00Z"
STRIKES = range(20_000, 100_000, 4_000)


def chain(**changes: Any) -> dict[str, Any]:
    """Return a plain chain of VICTIM, newer than what it has; ``changes`` break it."""
    quotes = [
        {"expiry": EXPIRY, "strike": strike, "type": kind, "bid": 0.05, "ask": 0.06, "forward": 60_000.0}
        for strike in STRIKES
        for kind in "CP"
    ]
    good = {"underlying": "VICTIM", "source": "e2e", "as_of": "2024-05-31T08:00:00Z", "premium": "coin"}
    return {**good, "quotes": quotes, **changes}


def with_quotes(**changes: Any) -> bytes:
    return json.dumps(chain(quotes=[{**quote, **changes} for quote in chain()["quotes"]])).encode()


def body(**changes: Any) -> bytes:
    return json.dumps(chain(**changes)).encode()


def deribit(*names: str) -> bytes:
    records = [{"instrument_name": name, "bid_price": 0.05, "ask_price": 0.06} for name in names]
    return json.dumps({"as_of": "2024-05-31T08:00:00Z", "options": records}).encode()


def many_quotes(count: int, underlying: str) -> bytes:
    quotes = [
        {"expiry": 1719561600000, "strike": 10_000 + number, "type": "C", "bid": 0.05, "ask": 0.06}
        for number in range(count)
    ]
    return json.dumps(chain(underlying=underlying, quotes=quotes), separators=(",", ":")).encode()


REFUSED = {
    "malformed JSON": ("native", body()[:-20], 422),
    "not UTF-8": ("native", b'{"underlying": "\xff\xfe"}', 422),
    "an array of nothing": ("native", b"[]", 422),
    "nothing": ("native", b"", 422),
    "nested deeply": ("native", b'{"quotes":' + b"[" * 100_000, 422),
    "NaN": ("native", body().replace(b"0.05", b"NaN"), 422),
    "Infinity": ("native", body().replace(b"0.05", b"Infinity"), 422),
    "1e400": ("native", body().replace(b"0.05", b"1e400"), 422),
    "a negative strike": ("native", with_quotes(strike=-1), 422),
    "a naive time": ("native", body(as_of="2024-05-31T08:00:00"), 422),
    "a time in the future": ("native", body(as_of="2999-01-01T00:00:00Z"), 422),
    "no quotes": ("native", body(quotes=[]), 422),
    "an unknown premium": ("native", body(premium="shells"), 422),
    "20,001 quotes": ("native", many_quotes(20_001, "VICTIM"), 422),
    "unknown instruments": ("deribit", deribit("VICTIM-SOMEDAY-60000-C", "VICTIM-31FEB24-60000-P"), 422),
    "an error of the venue": ("deribit", b'{"error": {"code": 10028, "message": "too_many_requests"}}', 422),
    "no options": ("deribit", deribit(), 422),
    "9 MB": ("native", b" " * 9_000_000, 413),
    "an unknown venue": ("nowhere", body(), 404),
}

UNFIT = {
    "crossed prices": ("native", with_quotes(bid=0.06, ask=0.05)),
    "negative prices": ("native", with_quotes(bid=-0.05)),
    "one side only": ("native", with_quotes(ask=None)),
    "no side at all": ("native", with_quotes(bid=0, ask=0)),
    "prices above any bound": ("native", with_quotes(bid=2.0, ask=3.0)),
    "one quote": ("native", body(quotes=chain()["quotes"][:1])),
    "expired options": ("native", with_quotes(expiry="2024-05-30T08:00:00Z")),
    "options of one expired day": ("deribit", deribit("VICTIM-24MAY24-60000-C", "VICTIM-24MAY24-50000-P")),
}


@pytest.fixture(scope="module")
def victim(http, recorded):
    return post(http, renamed(recorded[0], "VICTIM"), wait_ms=30_000)


@pytest.fixture
def _unharmed(service, http, victim):
    workers = service.workers()
    yield
    settle(http, "VICTIM")
    assert http.get("/v1/surfaces/VICTIM").json()["version"] == victim["version"]
    assert service.workers() == workers


@pytest.mark.usefixtures("_unharmed")
@pytest.mark.parametrize(("venue", "content", "status"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_a_reason(http, venue, content, status):
    answer = http.post(f"/v1/chains/{venue}", content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@pytest.mark.usefixtures("_unharmed")
def test_it_is_accepted_and_fails_with_a_reason(http):
    """All in one test: each is accepted only because it is newer than the one before."""
    for minute, (venue, content) in enumerate(UNFIT.values()):
        later = content.replace(b"2024-05-31T08:00:00Z", f"2024-05-31T08:{minute:02}:00Z".encode())
        answer = http.post(f"/v1/chains/{venue}", content=later)
        assert answer.status_code == 202, (list(UNFIT)[minute], answer.text)
        settle(http, "VICTIM")
    failed = [
        line
        for line in http.get("/metrics").text.splitlines()
        if line.startswith('volsurf_failed_total{underlying="VICTIM"}')
    ]
    assert [float(line.rpartition(" ")[2]) for line in failed] == [len(UNFIT)]


@pytest.mark.usefixtures("_unharmed")
def test_as_many_quotes_as_a_chain_may_hold_are_taken(http):
    assert http.post("/v1/chains/native", content=many_quotes(20_000, "HUGE")).status_code == 202
    settle(http, "HUGE")
