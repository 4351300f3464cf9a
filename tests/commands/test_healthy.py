from app.__main__ import main
from tests.running_service import free_port


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
