"""The settings in force, and the README's table of them."""

from pathlib import Path

import pytest

from app.__main__ import main
from app.commands.settings import readme_table

README = Path(__file__).parents[2] / "README.md"


def test_each_setting_is_printed_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SMILEKEEPER_PORT", "8001")
    monkeypatch.setenv("REDIS_URL", "redis://user:secret@store.example:6379/0")
    monkeypatch.setenv("SMILEKEEPER_KEY", "smk_0011aabb_secret")
    assert main(["settings"]) == 0
    printed = capsys.readouterr().out
    assert "SMILEKEEPER_PORT = 8001  (set)" in printed
    assert "SMILEKEEPER_HOST = 127.0.0.1  (default)" in printed
    assert "SMILEKEEPER_TRUSTED_NETWORKS = (none)  (default)" in printed
    assert "SMILEKEEPER_KEY = (hidden)  (set)" in printed
    assert "secret" not in printed


def test_the_readme_shows_every_setting() -> None:
    assert readme_table() in README.read_text(), "run: python -m app settings --table"
