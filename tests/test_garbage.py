"""The collector of cyclic garbage stands back in processes that run all day."""

import gc
from collections.abc import Iterator

import pytest

from app import garbage
from app.__main__ import main
from app.commands import worker


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_every_command_collects_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    gc.set_threshold(700)
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "worker" in capsys.readouterr().out
    assert gc.get_threshold()[0] == garbage.YOUNG_OBJECTS


def test_a_full_collection_passes_over_what_a_worker_has_once_it_is_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    had: list[bool] = []
    monkeypatch.setattr(worker, "warm_up", lambda: had.append(gc.get_freeze_count() > 0))
    tracked = len(gc.get_objects())

    worker._get_ready()

    assert had == [False], "what warms up must be there first"
    assert gc.get_freeze_count() >= tracked
    assert len(gc.get_objects()) < tracked / 10


def test_what_is_made_later_is_still_collected() -> None:
    garbage.keep_what_is_there()
    cycles = 100
    for _ in range(cycles):
        ring: list[object] = []
        ring.append(ring)
    del ring
    assert gc.collect() >= cycles
