"""Keeps the service's processes running: the store's server first, the rest beside each other, all ended together.

A process that dies is started again after a delay that doubles with each early death, for as long as it takes.
Children die with this process even when it is killed outright.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.store.parent_death import end_with_parent

log = logging.getLogger(__name__)

FIRST_DELAY_S: Final = 0.1
"""Before the first restart: a lone crash costs next to nothing."""
LONGEST_DELAY_S: Final = 10.0
"""Between restarts of what keeps dying: quiet for the machine, quick enough once the cause is gone."""
HEALTHY_AFTER_S: Final = 10.0
"""A process that ran this long did start; its next death is a new story."""
STOP_GRACE_S: Final = 3.5
"""From SIGTERM to SIGKILL; with the server's own stop everything ends within 5 s."""
SERVER_POLL_S: Final = 0.1
READY_POLL_S: Final = 0.05
SLOW_START_S: Final = 15.0
"""After this long without an answer to "ready?", and again each time, say that we still wait."""

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Server(Protocol):
    """The embedded store."""

    def start(self) -> str:
        """Start it, wait until it answers and return its URL."""
        ...

    def is_alive(self) -> bool:
        """Say whether its process runs."""
        ...


@dataclass(frozen=True, slots=True)
class Program:
    """A child process. ``once``: leaving with exit code 0 is its natural end."""

    name: str
    command: tuple[str, ...]
    once: bool = False


def app_program(name: str, *arguments: str, once: bool = False) -> Program:
    """Return the program that runs ``python -m app`` with ``arguments``."""
    return Program(name, (sys.executable, "-m", "app", *arguments), once)


class Refused(Exception):
    """A child says that it can never start as configured: restarting would not help."""


class _StopRequested(Exception):
    """A signal asked us to end."""


class Backoff:
    """Delays between restarts: doubled with each early death, with jitter, forgotten after a healthy run."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._early_deaths = 0

    def delay_s(self, ran_s: float) -> float:
        """Return how long to wait before the restart of what just died after ``ran_s`` seconds."""
        self._early_deaths = 0 if ran_s >= HEALTHY_AFTER_S else min(self._early_deaths + 1, 32)
        longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** max(self._early_deaths - 1, 0))
        return longest * (0.5 + 0.5 * self._jitter())


class Supervisor:
    """Runs ``programs``, and ``last`` once ``ready`` says so, until a stop signal.

    ``server`` belongs to the caller, who started it (its URL is in ``environment``) and stops it after :meth:`run`;
    meanwhile it is kept alive here. ``on_ready`` is called once, before ``last`` start.
    """

    def __init__(
        self,
        *,
        server: Server | None,
        programs: Sequence[Program],
        last: Sequence[Program],
        environment: Mapping[str, str],
        ready: Callable[[], Awaitable[bool]],
        on_ready: Callable[[], None],
    ) -> None:
        self._server = server
        self._programs = programs
        self._last = last
        self._environment = dict(environment)
        self._ready = ready
        self._on_ready = on_ready
        self._stop = asyncio.Event()
        self._children: dict[str, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        """Keep everything running until SIGINT, SIGTERM or SIGHUP. Raises Refused when a child cannot ever start."""
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_stop_requested())
                if self._server:
                    group.create_task(self._keep_server(self._server))
                for program in self._programs:
                    group.create_task(self._keep(program))
                group.create_task(self._start_last(group))
        except* _StopRequested:
            log.debug("stop_requested")
        finally:
            await self._end_children()

    async def _until_stop_requested(self) -> None:
        await self._stop.wait()
        raise _StopRequested

    async def _start_last(self, group: asyncio.TaskGroup) -> None:
        asked = time.monotonic()
        next_word = asked + SLOW_START_S
        while not await self._ready():
            if time.monotonic() >= next_word:
                log.warning("still_waiting_until_ready", extra={"waited_s": round(time.monotonic() - asked)})
                next_word += SLOW_START_S
            await asyncio.sleep(READY_POLL_S)
        self._on_ready()
        for program in self._last:
            group.create_task(self._keep(program))

    async def _keep(self, program: Program) -> None:
        backoff = Backoff()
        while True:
            started = time.monotonic()
            child = self._children[program.name] = await self._spawn(program)
            log.debug("process_started", extra={"program": program.name, "pid": child.pid})
            exit_code = await child.wait()
            if program.once and exit_code == 0:
                return
            if exit_code == os.EX_CONFIG:
                raise Refused(f"{program.name} refuses to start with these settings")
            delay_s = backoff.delay_s(time.monotonic() - started)
            log.warning(
                "process_died",
                extra={"program": program.name, "exit": _ending(exit_code), "restart_in_s": round(delay_s, 2)},
            )
            await asyncio.sleep(delay_s)

    async def _spawn(self, program: Program) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *program.command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            process_group=0,  # Ctrl-C in a terminal reaches the supervisor alone, which then ends the rest in order
            preexec_fn=end_with_parent(signal.SIGKILL),
        )

    async def _keep_server(self, server: Server) -> None:
        backoff = Backoff()
        started = time.monotonic()
        while True:
            await asyncio.sleep(SERVER_POLL_S)
            if server.is_alive():
                continue
            delay_s = backoff.delay_s(time.monotonic() - started)
            log.warning("store_died", extra={"restart_in_s": round(delay_s, 2)})
            await asyncio.sleep(delay_s)
            started = time.monotonic()
            try:
                server.start()
            except OSError as error:
                log.warning("store_did_not_start", extra={"reason": str(error)})

    async def _end_children(self) -> None:
        running = [child for child in self._children.values() if child.returncode is None]
        for child in running:
            _signal_group(child, signal.SIGTERM)
        exits = [asyncio.create_task(child.wait()) for child in running]
        if exits:
            await asyncio.wait(exits, timeout=STOP_GRACE_S)
        for child in running:
            if child.returncode is None:
                log.warning("process_killed", extra={"pid": child.pid, "after_s": STOP_GRACE_S})
                _signal_group(child, signal.SIGKILL)
        await asyncio.gather(*exits)


def _signal_group(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself in the meantime
        os.killpg(child.pid, number)


def _ending(exit_code: int) -> str:
    return f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"code {exit_code}"
