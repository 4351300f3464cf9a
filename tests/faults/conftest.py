import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from app.settings import use_one_numeric_thread
from tests.faults import extent, figures
from tests.faults.worker_process import work
from tests.servers import RealServer, running_server
from tests.store.stored import HANGS_AFTER_S, OpenStore, opened, until

KIND_PARAMETERS = ("shared_server", "kind", "cluster")
"""By these a test is told the kind of its server."""
WARM_WITHIN_S = 300.0
"""Where the kernels have to be compiled, too."""
TEST_LIMIT_S = 900.0
"""For the longest test of the full form on a machine that is busy with other things."""


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
        until(lambda: self._store.run(fleet.status()).warm_workers == len(self.members), timeout_s=WARM_WITHIN_S)

    def pid(self, name: str) -> int:
        pid = self.members[name].pid
        assert pid is not None
        return pid

    def exit_code(self, name: str, within_s: float = HANGS_AFTER_S) -> int | None:
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


@pytest.fixture(autouse=True)
def _figures_say_on_which_server(request: pytest.FixtureRequest) -> None:
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    figures.on_server.name = next((parameters[name] for name in KIND_PARAMETERS if name in parameters), "valkey")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every report tell the promises of its test, and give the tests here time on a busy machine."""
    here = Path(__file__).parent
    for item in items:
        item.user_properties += [("promise", name) for mark in item.iter_markers("promise") for name in mark.args]
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_LIMIT_S))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures: all of them in the full form, else what missed its target, which failed nothing."""
    if extent.FULL and figures.MEASURED:
        terminalreporter.section(f"figures and their targets, seed {extent.SEED}")
        for line in figures.table(figures.MEASURED, _outcomes(terminalreporter)):
            terminalreporter.write_line(line)
    elif missed := [each for each in figures.MEASURED if not each.met]:
        terminalreporter.section("slower than promised: a busy machine?")
        for each in missed:
            terminalreporter.write_line(f"{each.promise:4} {each.what}: {each.value:.4g} {each.unit}, {each.target}")


def _outcomes(reporter: pytest.TerminalReporter) -> dict[str, Counter[str]]:
    """Count how the tests of each promise ended."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in reporter.stats.get(outcome, []):
            for _, promise in report.user_properties:
                counted[promise][outcome] += 1
    return counted
