"""The kernels' folder follows every source; older folders go."""

from pathlib import Path

import pytest

from app import kernel_cache
from app.kernel_cache import folder_of_this_code, forget_older_kernels


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    room = tmp_path / "quant"
    (room / "models").mkdir(parents=True)
    (room / "black.py").write_text("a = 1\n")
    (room / "models" / "svi.py").write_text("b = 1\n")
    monkeypatch.setattr(kernel_cache, "QUANT_ROOM", room)
    return room


def test_any_changed_source_changes_the_folder(sources: Path) -> None:
    before = folder_of_this_code()
    (sources / "models" / "svi.py").write_text("b = 2\n")
    assert folder_of_this_code() != before
    assert folder_of_this_code().parent == before.parent


def test_a_folder_already_chosen_is_kept(sources: Path, tmp_path: Path) -> None:
    folder = folder_of_this_code(tmp_path / "cache")
    assert folder_of_this_code(folder) == folder


def test_older_folders_are_forgotten_and_nothing_else(sources: Path, tmp_path: Path) -> None:
    current = folder_of_this_code(tmp_path / "cache")
    older = current.parent / ("0" * len(current.name))
    other = current.parent / "not-ours"
    for folder in (current, older, other):
        folder.mkdir(parents=True)
    forget_older_kernels(current)
    assert (current.exists(), older.exists(), other.exists()) == (True, False, True)
