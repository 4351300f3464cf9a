"""The code version follows every source of a fit, and the package's version has one home."""

import tomllib
from pathlib import Path

import pytest

from app import code_version as module
from app.code_version import VERSION, code_version

ROOT = Path(__file__).parents[1]


def test_the_version_is_that_of_the_package() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == VERSION
    assert code_version().startswith(f"{VERSION}+")


@pytest.mark.parametrize("room", ["quant", "service", "api"])
def test_a_changed_source_of_a_fit_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: str) -> None:
    for name in ("quant", "service", "api"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "surface.py").write_text("a = 1\n")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "code_version.py"))
    before = code_version.__wrapped__()
    (tmp_path / room / "surface.py").write_text("a = 2\n")
    assert (code_version.__wrapped__() != before) == (room != "api")
