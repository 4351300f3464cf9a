from collections.abc import Iterator

import pytest

from tests.servers import RealServer, server, shared_server, shared_valkey, valkey  # noqa: F401  fixtures
from tests.store.stored import OpenStore, opened


@pytest.fixture
def store(server: RealServer) -> Iterator[OpenStore]:  # noqa: F811
    """The store on every kind of server."""
    with opened(server.url) as store:
        yield store


@pytest.fixture
def valkey_store(valkey: RealServer) -> Iterator[OpenStore]:  # noqa: F811
    """The store on the bundled server."""
    with opened(valkey.url) as store:
        yield store
