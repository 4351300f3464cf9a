import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

import pytest

from app.settings import use_one_numeric_thread
from tests.faults import extent, figures
from tests.faults.worker_process import work
from tests.servers import RealServer, running_server
from tests.store.stored import OpenStore, opened, until


class Crew:
    """Real worker processes, forked from a server that has imported and run the fitting code once."""

    def __init__(self, store: OpenStore) -> None:
        use_one_numeric_thread()  # also in the processes forked below
        self._store = store
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.faults.preloaded"])
        self.members: dict[str, BaseProcess] = {}

    def start(self, *names: str, url: str | None = None, target: Callable[[str, str], None] = work) -> None:
        """Start workers without waiting for them; a name may be given again once its process has ended."""
        for name in names:
            if name in self.members:
                self.members.pop(name).close()
            process = self._context.Process(target=target, args=(url or self._store.url, name))
            process.start()
            self.members[name] = process

    def start_warm(self, *names: str, url: str | None = None, target: Callable[[str, str], None] = work) -> None:
        """Start workers and return when all of the crew take chains."""
        self.start(*names, url=url, target=target)
        fleet = self._store.api.fleet
        until(lambda: self._store.run(fleet.status()).warm_workers == len(self.members), timeout_s=100.0)

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


@pytest.fixture(scope="module", params=extent.KINDS)
def shared_server(request: pytest.FixtureRequest) -> Iterator[RealServer]:
    yield from running_server(request.param)


@pytest.fixture
def server(shared_server: RealServer) -> RealServer:
    """A running, empty server of each kind that this form of the tests asks for."""
    shared_server.run("FLUSHALL")
    return shared_server


@pytest.fixture
def store(server: RealServer) -> Iterator[OpenStore]:
    with opened(server.url) as store:
        yield store


@pytest.fixture
def crew(store: OpenStore) -> Iterator[Crew]:
    crew = Crew(store)
    yield crew
    crew.dismiss()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, in the full form."""
    if extent.FULL and figures.MEASURED:
        terminalreporter.section(f"figures and their targets, seed {extent.SEED}")
        for line in figures.table():
            terminalreporter.write_line(line)
