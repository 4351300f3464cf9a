import os
from pathlib import Path

import pytest

from app.__main__ import main
from app.store.connect import connect_dead_letters
from app.store.embedded import EmbeddedServer
from tests.servers import RealServer, shared_valkey, valkey  # noqa: F401  fixtures
from tests.store.stored import AS_OF_MS, OpenStore, opened
from tests.store.test_dead_letters import kill_every_worker


@pytest.fixture
def store(valkey: RealServer, monkeypatch):  # noqa: F811
    monkeypatch.setenv("REDIS_URL", valkey.url)
    with opened(valkey.url) as store:
        yield store


def name_of_the_letter(store: OpenStore) -> str:
    letters = connect_dead_letters(store.url)
    (letter,) = letters.kept()
    letters.close()
    return letter.name


def test_none_are_listed(store, capsys):
    assert main(["dead-letters"]) == 0
    assert capsys.readouterr().out == "no dead letters\n"


def test_a_dead_letter_is_listed_shown_and_tried_again(store, capsys):
    kill_every_worker(store)
    name = name_of_the_letter(store)
    assert main(["dead-letters", "list"]) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "name"
    assert line.split()[0] == name
    assert line.split()[-1] == "BTC"
    assert "2026-08-01T17:58:04.000Z" in line
    assert main(["dead-letters", "show", name]) == 0
    said = capsys.readouterr().out
    assert "2 quotes" in said
    assert "60000 to 62000" in said
    assert main(["dead-letters", "retry", name]) == 0
    assert "queued again" in capsys.readouterr().out
    assert store.counts().pending == 1
    assert main(["dead-letters", "retry", name]) == 1
    assert main(["dead-letters", "show", name]) == 1
    assert capsys.readouterr().err.count("no such dead letter") == 2


def test_what_is_stale_is_not_queued_and_says_so(store, capsys):
    kill_every_worker(store)
    store.publish(as_of_ms=AS_OF_MS + 1)
    assert main(["dead-letters", "retry", name_of_the_letter(store)]) == 1
    assert "a newer chain" in capsys.readouterr().err


def test_a_name_of_another_deployment_is_refused(store, capsys):
    assert main(["dead-letters", "show", "7/1-0"]) == os.EX_DATAERR
    assert "7/1-0" in capsys.readouterr().err


def test_the_embedded_store_is_found_by_its_data_folder(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("SMILEKEEPER_DATA_DIR", str(tmp_path))
    assert main(["dead-letters"]) == os.EX_UNAVAILABLE
    assert f"no embedded server runs on {tmp_path}" in capsys.readouterr().err
    server = EmbeddedServer(tmp_path)
    server.start()
    assert main(["dead-letters"]) == 0
    server.stop()
    assert main(["dead-letters"]) == os.EX_UNAVAILABLE
