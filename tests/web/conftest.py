import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.feeds.recording import SHIPPED
from tests.running_service import JSON, RunningService, running_service
from tests.web.browser import MISSING, Browser, browser
from tests.web.looking import post


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "window" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)
            if MISSING or sys.platform != "linux":
                item.add_marker(pytest.mark.skip(reason=MISSING or "processes are found through /proc"))


@pytest.fixture(scope="session")
def recorded() -> list[bytes]:
    """Successive 5-minute chains of all BTC options, as Deribit answered."""
    return gzip.decompress(SHIPPED[0].read_bytes()).splitlines()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("page") / "data", SMILEKEEPER_WORKERS="1") as running:
        yield running


@pytest.fixture(scope="session")
def http(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.base_url, headers=JSON, timeout=120.0) as client:
        yield client


@pytest.fixture(scope="session")
def shared_window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def window(shared_window: Browser) -> Iterator[Browser]:
    """A desktop window on an empty page, with nothing left over from the test before."""
    shared_window.open("about:blank")
    shared_window.resize(1440, 1000)
    shared_window.prefer("light")
    shared_window.console_errors()
    yield shared_window
    shared_window.open("about:blank")


@pytest.fixture(scope="module")
def surface(http: httpx.Client, recorded: list[bytes]) -> dict[str, Any]:
    """The surface of BTC after two chains."""
    post(http, recorded[0])
    return post(http, recorded[1])
