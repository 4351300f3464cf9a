import gzip
import os
import signal

import pytest

from app.__main__ import main
from app.commands import demo
from app.commands.replay import ProgressBar
from app.feeds.recording import SHIPPED
from app.feeds.replay import ReplayResult
from app.service.iso_time import ms_of


@pytest.fixture(autouse=True)
def _restore_signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def recording(tmp_path):
    lines = gzip.decompress(SHIPPED[0].read_bytes()).splitlines()[:3]
    path = tmp_path / "deribit_btc.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path, lines


def test_every_chain_is_posted_unchanged_and_counted(fake_service, recording, capsys):
    path, lines = recording
    assert main(["replay", str(path), "--to", fake_service.url, "--speed", "inf"]) == 0
    assert fake_service.posted == [("/v1/chains/deribit", line) for line in lines]
    assert capsys.readouterr().out == "3 chains sent: 3 queued\n"


def test_refusals_are_counted_and_the_last_is_shown(fake_service, recording, capsys):
    fake_service.status = 422
    assert main(["replay", str(recording[0]), "--to", fake_service.url, "--speed", "inf"]) == 0
    assert capsys.readouterr().out == ("3 chains sent: 3 refused; last refusal: 422 strike -1: must be positive\n")


def test_the_key_of_the_environment_is_shown_to_the_service(fake_service, recording, monkeypatch, capsys):
    command = ["replay", str(recording[0]), "--to", fake_service.url, "--speed", "inf"]
    assert main(command) == 0
    monkeypatch.setenv("SMILEKEEPER_KEY", "smk_0011aabb_secret")
    assert main(command) == 0
    assert fake_service.keys == [None] * 3 + ["smk_0011aabb_secret"] * 3
    fake_service.keys.clear()
    fake_service.status = 401
    assert main(["demo", "--to", fake_service.url]) == os.EX_UNAVAILABLE
    assert set(fake_service.keys) == {"smk_0011aabb_secret"}
    assert "secret" not in "".join(capsys.readouterr())


def test_a_file_that_is_no_recording_is_refused(fake_service, tmp_path, capsys):
    path = tmp_path / "deribit_btc.jsonl"
    path.write_text("{}\n")
    assert main(["replay", str(path), "--to", fake_service.url]) == os.EX_DATAERR
    assert str(path) in capsys.readouterr().err
    assert not fake_service.posted


@pytest.mark.parametrize(
    ("known", "after", "first_day"),
    [
        ({}, None, 0),
        ({"BTC": "2023-04-12T11:17:00Z"}, None, 0),
        ({"BTC": "2023-04-12T11:14:00Z", "ETH": "2023-04-12T11:13:00Z"}, "2023-04-12T11:13:00Z", 0),
        ({"BTC": "2023-04-15T16:00:00Z", "ETH": "2023-04-15T16:00:00Z"}, "2023-04-15T16:00:00Z", 3),
    ],
)
def test_the_demo_plays_day_after_day_from_where_the_service_stands(fake_service, monkeypatch, known, after, first_day):
    passes = []

    def two_passes(paths, *, url, speed, after_ms, later_by_days, api_key, stop):
        passes.append((paths, url, after_ms, later_by_days))
        if len(passes) == 2:
            stop.set()

    monkeypatch.setattr(demo, "replay", two_passes)
    fake_service.surfaces = [{"underlying": name, "as_of": as_of} for name, as_of in known.items()]
    assert main(["demo", "--to", fake_service.url]) == 0
    after_ms = None if after is None else ms_of(after)
    assert passes == [(SHIPPED, fake_service.url, after_ms, day) for day in (first_day, first_day + 1)]


def test_the_demo_ends_where_it_is_refused(fake_service, capsys):
    fake_service.status = 401
    assert main(["demo", "--to", fake_service.url]) == os.EX_UNAVAILABLE
    assert "401" in capsys.readouterr().err


def test_the_bar_is_drawn_on_a_terminal_only(monkeypatch, capsys):
    result = ReplayResult(sent=2, outcomes={"queued": 2}, as_of_ms=1681297921038)
    ProgressBar(4).show(result)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ProgressBar(4).show(result)
    assert capsys.readouterr().err == f"\r[{'#' * 15}{'-' * 15}] 2/4  2023-04-12 11:12  2 queued\033[K"
