"""`python -m app keys`, and the refusal to listen to the world without one."""

import os
import subprocess
import sys

import pytest

from app.__main__ import main
from app.service.access_key import PREFIX
from app.store.connect import connect_access_keys
from tests.servers import RealServer, shared_valkey, valkey  # noqa: F401  fixtures


@pytest.fixture
def on_store(monkeypatch: pytest.MonkeyPatch, valkey: RealServer) -> RealServer:  # noqa: F811
    monkeypatch.setenv("REDIS_URL", valkey.url)
    return valkey


def test_make_list_revoke(on_store, capsys):
    assert main(["keys", "create", "desk 7", "--scopes", "read,ingest", "--underlyings", "BTC"]) == 0
    made = capsys.readouterr()
    assert made.out.startswith(f"{PREFIX}_")
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    key_id = listed.split()[0]
    assert listed == made.err
    assert all(part in listed for part in ("ingest,read", "BTC", "desk 7"))
    assert made.out.strip() not in listed
    assert main(["keys", "revoke", key_id]) == 0
    assert main(["keys", "revoke", key_id]) == os.EX_DATAERR
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("wrong", [["--scopes", "write"], ["--scopes", ""], ["--underlyings", ","]])
def test_a_key_that_makes_no_sense_is_refused(on_store, capsys, wrong):
    assert main(["keys", "create", "desk", *wrong]) == os.EX_USAGE
    assert "no key was made" in capsys.readouterr().err
    cabinet = connect_access_keys(on_store.url)
    assert cabinet.kept() == []
    cabinet.close()


def test_without_a_running_service_its_data_folder_is_opened(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("SMILEKEEPER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SMILEKEEPER_APPENDFSYNC", "always")
    assert main(["keys", "create", "desk"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().out.endswith("read  all underlyings  desk\n")


def test_a_store_that_is_away_is_said_so(monkeypatch, capsys):
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere/store.sock")
    assert main(["keys", "list"]) == os.EX_UNAVAILABLE
    assert capsys.readouterr().err


def test_the_api_does_not_listen_to_the_world_without_a_key(on_store):
    ran = subprocess.run(
        [sys.executable, "-m", "app", "api"],
        check=False,
        env={**os.environ, "SMILEKEEPER_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == os.EX_CONFIG
    assert "setting refused: SMILEKEEPER_HOST=0.0.0.0" in ran.stderr
    assert "python -m app keys create" in ran.stderr
