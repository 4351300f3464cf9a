import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.feeds.recording import SHIPPED
from tests.running_service import JSON, RunningService, running_service

LEASE_S = 1.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(900))
            if sys.platform != "linux":
                item.add_marker(pytest.mark.skip(reason="processes are found through /proc"))


def client_of(service: RunningService) -> httpx.Client:
    return httpx.Client(base_url=service.base_url, headers=JSON, timeout=60.0)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    with running_service(folder / "data", SMILEKEEPER_WORKERS="2", SMILEKEEPER_LEASE_S=str(LEASE_S)) as running:
        yield running


@pytest.fixture(scope="session")
def http(service: RunningService) -> Iterator[httpx.Client]:
    with client_of(service) as client:
        yield client


@pytest.fixture(scope="session")
def recorded() -> list[bytes]:
    """Successive 5-minute chains of all BTC options, as Deribit answered."""
    return gzip.decompress(SHIPPED[0].read_bytes()).splitlines()


def renamed(body: bytes, underlying: str) -> bytes:
    """Return the same chain as if of another coin, so that tests do not share an underlying."""
    return body.replace(b'"BTC-', f'"{underlying}-'.encode())
