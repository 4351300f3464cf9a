import os
import socket

import pytest

from app.__main__ import main
from tests.running_service import free_port
from tests.servers import RealServer, shared_valkey, valkey  # noqa: F401  fixtures
from tests.store.stored import opened


def test_a_ready_service_is_healthy(fake_service, monkeypatch):
    monkeypatch.setenv("SMILEKEEPER_PORT", str(fake_service.port))
    fake_service.status = 200
    assert main(["healthy"]) == 0


def test_a_service_that_is_not_ready_is_not(fake_service, monkeypatch):
    monkeypatch.setenv("SMILEKEEPER_PORT", str(fake_service.port))
    fake_service.status = 503
    assert main(["healthy"]) == 1


def test_nobody_listening_is_not_healthy(monkeypatch):
    monkeypatch.setenv("SMILEKEEPER_PORT", str(free_port()))
    assert main(["healthy"]) == 1


def test_a_service_elsewhere_is_asked_by_its_url(fake_service):
    fake_service.status = 200
    assert main(["healthy", "--of", fake_service.url]) == 0
    fake_service.status = 503
    assert main(["healthy", "--of", fake_service.url]) == 1
    assert main(["healthy", "--of", f"http://127.0.0.1:{free_port()}"]) == 1


@pytest.mark.parametrize("arguments", [["--worker"], ["--worker", "second"]])
def test_a_worker_lives_while_it_says_so(valkey: RealServer, monkeypatch, arguments):  # noqa: F811
    monkeypatch.setenv("REDIS_URL", valkey.url)
    name = arguments[1] if len(arguments) > 1 else socket.gethostname()
    with opened(valkey.url) as store:
        worker = store.worker()
        worker.announce("another", warm=True, busy_with=None)
        assert main(["healthy", *arguments]) == 1
        worker.announce(name, warm=False, busy_with=None)
        assert main(["healthy", *arguments]) == 0
        expired = b"1|1||"
        valkey.run("HSET", store.api.fleet._keys.workers(), name, expired)
        assert main(["healthy", *arguments]) == 1, "it has said nothing for long"
        worker.announce(name, warm=True, busy_with="BTC", busy_since_ms=1)
        worker.leave(name)
        assert main(["healthy", *arguments]) == 1


def test_no_worker_is_known_to_live_without_a_store(monkeypatch):
    assert main(["healthy", "--worker"]) == os.EX_CONFIG
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    assert main(["healthy", "--worker"]) == 1
