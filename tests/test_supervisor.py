import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app import supervisor as module
from app.supervisor import HEALTHY_AFTER_S, LONGEST_DELAY_S, Backoff, Program, Refused, Supervisor

DEADLINE_S = 60.0


def python(name: str, script: str, *arguments: str, once: bool = False) -> Program:
    return Program(name, (sys.executable, "-c", script, *arguments), once)


def leaves_its_pid(name: str, folder: Path, then: str = "time.sleep(600)", once: bool = False) -> Program:
    script = f"import os, signal, sys, time; open(sys.argv[1] + f'/{{os.getpid()}}', 'w').close(); {then}"
    folder.mkdir(exist_ok=True)
    return python(name, script, str(folder), once=once)


def pids_in(folder: Path) -> list[int]:
    return [int(path.name) for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes() if sys.platform == "linux" else True


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)


async def yes() -> bool:
    return True


def supervise(*programs: Program, **changes) -> Supervisor:
    given = {
        "server": None,
        "programs": programs,
        "last": (),
        "environment": dict(os.environ),
        "ready": yes,
        "on_ready": lambda: None,
    }
    return Supervisor(**{**given, **changes})


def run_until(supervisor: Supervisor, condition: Callable[[], object], number: int = signal.SIGINT) -> None:
    """Run until ``condition`` holds, then signal ourselves as a terminal would."""

    async def scenario() -> None:
        running = asyncio.create_task(supervisor.run())
        await until(lambda: running.done() or condition())
        if not running.done():
            os.kill(os.getpid(), number)
        await running

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_child(tmp_path, number):
    run_until(
        supervise(leaves_its_pid("a", tmp_path / "a"), leaves_its_pid("b", tmp_path / "b")),
        lambda: pids_in(tmp_path / "a") and pids_in(tmp_path / "b"),
        number,
    )
    assert not any(is_running(pid) for pid in pids_in(tmp_path / "a") + pids_in(tmp_path / "b"))


def test_a_child_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STOP_GRACE_S", 0.3)
    deaf = leaves_its_pid("deaf", tmp_path / "deaf", "time.sleep(600)")
    deaf = python(
        "deaf", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + deaf.command[2], deaf.command[3]
    )
    run_until(supervise(deaf), lambda: pids_in(tmp_path / "deaf"))
    assert not any(is_running(pid) for pid in pids_in(tmp_path / "deaf"))


def test_a_killed_child_is_started_again(tmp_path):
    folder = tmp_path / "worker"
    killed: list[int] = []

    def killed_once_and_back() -> bool:
        if not killed and (pids := pids_in(folder)):
            killed.extend(pids)
            os.kill(killed[0], signal.SIGKILL)
        return len(pids_in(folder)) == 2

    run_until(supervise(leaves_its_pid("worker", folder)), killed_once_and_back)
    assert len(set(pids_in(folder))) == 2


def test_a_program_that_runs_once_is_not_started_again(tmp_path):
    folder = tmp_path / "demo"
    crashes = leaves_its_pid("other", tmp_path / "other", "sys.exit(1)")
    run_until(
        supervise(leaves_its_pid("demo", folder, "pass", once=True), crashes),
        lambda: len(pids_in(tmp_path / "other")) >= 3,
    )
    assert len(pids_in(folder)) == 1


def test_the_last_start_only_when_the_rest_is_ready(tmp_path):
    order: list[str] = []
    folder = tmp_path / "demo"
    demo = leaves_its_pid("demo", folder)

    async def ready() -> bool:
        order.append("asked")
        assert not pids_in(folder)
        return len(order) >= 3

    supervisor = supervise(last=[demo], ready=ready, on_ready=lambda: order.append("announced"))
    run_until(supervisor, lambda: pids_in(folder))
    assert order == ["asked"] * 3 + ["announced"]


def test_a_child_that_refuses_its_settings_ends_the_run(tmp_path):
    refusing = python("worker", f"import sys; sys.exit({os.EX_CONFIG})")
    other = leaves_its_pid("api", tmp_path / "api")
    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(supervise(refusing, other).run())
    assert raised.group_contains(Refused, match="worker refuses to start")
    assert not any(is_running(pid) for pid in pids_in(tmp_path / "api"))


class FakeServer:
    def __init__(self, failures: int = 0) -> None:
        self.starts = 0
        self.failures = failures
        self.alive = False

    def start(self) -> str:
        self.starts += 1
        if self.starts <= self.failures:
            raise OSError("no space left on device")
        self.alive = True
        return "unix:///somewhere"

    def is_alive(self) -> bool:
        return self.alive


def test_a_dead_server_is_started_until_it_lives():
    server = FakeServer(failures=2)
    run_until(supervise(server=server), server.is_alive)
    assert server.starts == 3


def test_delays_double_to_a_limit_and_are_forgotten_after_a_healthy_run():
    backoff = Backoff(jitter=lambda: 1.0)
    delays = [backoff.delay_s(0.0) for _ in range(40)]
    assert delays[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert delays[-1] == LONGEST_DELAY_S
    assert backoff.delay_s(HEALTHY_AFTER_S) == pytest.approx(0.1)
    assert Backoff(jitter=lambda: 0.0).delay_s(0.0) == pytest.approx(0.05)


ORPHANING = """
import asyncio, os, sys
from app.supervisor import Program, Supervisor
async def ready(): return False
child = Program("child", (sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"))
asyncio.run(Supervisor(server=None, programs=[child], last=[], environment=dict(os.environ), ready=ready,
                       on_ready=print).run())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_children_die_with_a_killed_supervisor():
    with subprocess.Popen([sys.executable, "-c", ORPHANING], stdout=subprocess.PIPE) as killed:
        child = int(killed.stdout.readline())
        assert is_running(child)
        killed.kill()
        killed.wait()
    asyncio.run(until(lambda: not is_running(child)))
