"""The kernels' folder follows every source a kernel sees, and no other; older folders go."""

from pathlib import Path

import pytest

from app import kernel_cache
from app.kernel_cache import folder_of_this_code, forget_older_kernels


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    room = tmp_path / "quant"
    (room / "models").mkdir(parents=True)
    (room / "compiled.py").write_text("kernel = 1\n")
    (room / "constants.py").write_text("b = 1\n")
    (room / "report.py").write_text("from app.quant.models.svi import c\n")
    (room / "black.py").write_text("from app.quant.compiled import kernel\nfrom app.quant.models.svi import c\n")
    (room / "models" / "__init__.py").write_text("")
    (room / "models" / "svi.py").write_text("from app.quant.constants import (\n    b,\n)\nc = b\n")
    monkeypatch.setattr(kernel_cache, "QUANT_ROOM", room)
    return room


@pytest.mark.parametrize("seen", ["black.py", "compiled.py", "models/svi.py", "constants.py"])
def test_a_changed_source_that_a_kernel_sees_changes_the_folder(sources: Path, seen: str) -> None:
    before = folder_of_this_code()
    with (sources / seen).open("a") as source:
        source.write("d = 2\n")
    assert folder_of_this_code() != before
    assert folder_of_this_code().parent == before.parent


def test_a_source_that_no_kernel_sees_may_change(sources: Path) -> None:
    before = folder_of_this_code()
    (sources / "report.py").write_text("e = 2\n")
    assert folder_of_this_code() == before


def test_the_room_names_its_imports_in_the_form_that_is_read() -> None:
    for path in kernel_cache.QUANT_ROOM.rglob("*.py"):
        for line in path.read_text().splitlines():
            if line.lstrip().startswith(("import app", "from app.quant import", "from .")):
                pytest.fail(f"{path.name}: {line.strip()!r} hides a source of kernels")


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
