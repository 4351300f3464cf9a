import gzip
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from app.feeds.recording import SHIPPED, InvalidRecording, read_recorded
from app.venues import VENUES

EXAMPLE = VENUES["native"].example


@pytest.mark.parametrize(
    ("path", "options"), list(zip(SHIPPED, [{630, 640}, {494, 502}], strict=True)), ids=["btc", "eth"]
)
def test_shipped_series(path: Path, options: set[int]) -> None:
    chains = list(read_recorded(path))
    assert len(chains) == 64
    assert {chain.venue for chain in chains} == {"deribit"}
    times = [chain.as_of_ms for chain in chains]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) > 240_000
    assert max(gaps) < 360_000
    parsed = [VENUES["deribit"].parse(chain.body, received_ms=0) for chain in chains]
    assert {len(chain) for chain in parsed} == options
    assert not any(chain.unplaced for chain in parsed)
    assert path.stat().st_size < 2_000_000
    forwards = [float(chain.expiries[-1].forward.mean()) for chain in parsed]
    assert max(forwards) / min(forwards) > 1.015, "a demo needs a market that moves"


def test_shipped_series_come_with_their_licence() -> None:
    notice = (SHIPPED[0].parent / "NOTICE").read_text()
    assert all(path.name in notice for path in SHIPPED)
    assert "MIT License" in notice
    assert "nostoz/deribit_volatility_download_and_visualize" in notice


def _lines(count: int) -> bytes:
    body = json.loads(EXAMPLE)
    return b"\n\n".join(json.dumps(body | {"as_of": body_ms}).encode() for body_ms in _times(count)) + b"\r\n"


def _times(count: int) -> list[int]:
    return [1_785_607_084_320 + 1000 * i for i in range(count)]


@pytest.mark.parametrize(
    ("suffix", "pack", "count"),
    [
        (".json", bytes, 1),
        (".json.gz", gzip.compress, 1),
        (".jsonl", bytes, 3),
        (".jsonl.gz", gzip.compress, 3),
    ],
)
def test_every_kind_of_file(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes], count: int) -> None:
    path = tmp_path / f"native_btc{suffix}"
    path.write_bytes(pack(_lines(count) if count > 1 else EXAMPLE))
    chains = list(read_recorded(path))
    assert [chain.as_of_ms for chain in chains] == _times(count)
    assert all(VENUES["native"].parse(chain.body, received_ms=0) for chain in chains)


def test_the_venue_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "today.json"
    path.write_bytes(EXAMPLE)
    assert [chain.venue for chain in read_recorded(path, venue="native")] == ["native"]
    with pytest.raises(InvalidRecording, match=r"'today\.json' is not a venue"):
        list(read_recorded(path))
    with pytest.raises(InvalidRecording, match="'atlantis'"):
        list(read_recorded(path, venue="atlantis"))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("native_x.csv", b"1,2", "ends in .json"),
        ("native_x.jsonl", b"", "0 chains"),
        ("native_x.jsonl", b"\n \n", "0 chains"),
        ("native_x.json", b"", "chain 1"),
        ("native_x.jsonl", EXAMPLE + b"\n{}\n", "chain 2"),
        ("native_x.json.gz", EXAMPLE, "gzip"),
        ("native_x.json.gz", gzip.compress(EXAMPLE)[:-9], "gzip"),
        ("native_x.json.gz", gzip.compress(EXAMPLE)[:20] + b"\xff" * 20, "gzip"),
    ],
)
def test_what_is_no_recording(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InvalidRecording, match=message):
        list(read_recorded(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_recorded(tmp_path / "native_x.jsonl"))


def test_chains_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "native_x.jsonl"
    path.write_bytes(EXAMPLE + b"\nbroken\n")
    chains = read_recorded(path)
    assert next(chains).body == EXAMPLE
    with pytest.raises(InvalidRecording):
        next(chains)
