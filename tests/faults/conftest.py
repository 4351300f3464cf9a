import multiprocessing
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

import pytest

from tests.faults.worker_process import work
from tests.servers import RealServer, server, shared_server, shared_valkey, valkey  # noqa: F401  fixtures
from tests.store.stored import OpenStore, opened, until


class Crew:
    """Real worker processes, forked from a server that has imported the fitting code once."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.faults.worker_process"])
        self.members: dict[str, BaseProcess] = {}

    def start(self, *names: str) -> None:
        """Start workers without waiting for them."""
        for name in names:
            process = self._context.Process(target=work, args=(self._store.url, name))
            process.start()
            self.members[name] = process

    def start_warm(self, *names: str) -> None:
        """Start workers and return when all of them take chains."""
        self.start(*names)
        fleet = self._store.api.fleet
        until(lambda: self._store.run(fleet.status()).warm_workers == len(names), timeout_s=30.0)

    def pid(self, name: str) -> int:
        pid = self.members[name].pid
        assert pid is not None
        return pid

    def exit_code(self, name: str, within_s: float) -> int | None:
        """Return the code a worker ended with, negative for a signal; None if it runs on."""
        self.members[name].join(within_s)
        return self.members[name].exitcode

    def dismiss(self) -> None:
        for process in self.members.values():
            process.kill()
            process.join()
            process.close()


@pytest.fixture
def store(valkey: RealServer) -> Iterator[OpenStore]:  # noqa: F811
    with opened(valkey.url) as store:
        yield store


@pytest.fixture
def crew(store: OpenStore) -> Iterator[Crew]:
    crew = Crew(store)
    yield crew
    crew.dismiss()
