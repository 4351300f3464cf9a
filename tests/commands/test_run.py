import os
import socket
import subprocess
import sys

from app.__main__ import main
from app.commands.run import where_to_look
from app.settings import load
from tests.running_service import free_port


def test_it_says_where_to_look():
    lines = where_to_look(load({"SMILEKEEPER_HOST": "0.0.0.0", "SMILEKEEPER_PORT": "8123"})).splitlines()
    assert sum("curl -s http://127.0.0.1:8123/" in line for line in lines) == 3
    assert sum("ws://127.0.0.1:8123/v1/stream" in line for line in lines) == 1
    assert any(line.split()[:3] == ["the", "page", "http://127.0.0.1:8123/"] for line in lines)


def test_a_taken_port_is_said_before_anything_starts(monkeypatch, tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("SMILEKEEPER_PORT", str(port))
        monkeypatch.setenv("SMILEKEEPER_DATA_DIR", str(tmp_path / "data"))
        assert main(["run"]) == os.EX_UNAVAILABLE
    said = capsys.readouterr().err
    assert said.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert "SMILEKEEPER_PORT" in said
    assert not (tmp_path / "data").exists()


def test_a_store_that_cannot_start_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SMILEKEEPER_PORT", str(free_port()))
    monkeypatch.setenv("SMILEKEEPER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SMILEKEEPER_REDIS_BIN", "/bin/true")
    assert main(["run"]) == os.EX_UNAVAILABLE
    assert "/bin/true" in capsys.readouterr().err


def test_a_setting_that_only_a_child_can_judge_ends_the_run(tmp_path):
    settings = {
        "SMILEKEEPER_PORT": str(free_port()),
        "SMILEKEEPER_DATA_DIR": str(tmp_path / "data"),
        "SMILEKEEPER_MODEL": "nope",
        "SMILEKEEPER_WORKERS": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "app", "run"],
        env={**os.environ, **settings},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == os.EX_CONFIG
    assert "SMILEKEEPER_MODEL=nope: must be one of" in ran.stderr
    assert ran.stderr.endswith("worker-1 refuses to start with these settings\n")
    assert ran.stdout == ""
