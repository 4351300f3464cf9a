"""A Valkey or Redis server of our own: on a Unix socket, its log in the data folder, ended with its parent."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Final

from app.store.append_only_log import beyond_repair, cut_to_whole, is_about_the_log, say_what_the_server_cut
from app.store.data_folder import ADDRESS_FILE, locked
from app.store.parent_death import end_with_parent
from app.store.server_program import ServerNotStarted, find_server

LOG_FILE: Final = "store.log"
"""In the data folder: what the server says."""
LONGEST_SOCKET_PATH: Final = 107
"""Bytes of a Unix socket's path, from sun_path in unix(7) less its terminator."""
START_WITHIN_S: Final = 30.0
"""Enough to load a log of several GB; the usual start takes a tenth of a second."""
STOP_WITHIN_S: Final = 1.0
"""From SIGTERM to SIGKILL. The log is written by then; what is left is the last flush."""
POLL_S: Final = 0.005
PING_WITHIN_S: Final = 1.0


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
        self._lock = self._lock or locked(self._data_dir)
        try:
            self._launch_repaired(program)
        except OSError:
            if first:  # a restart keeps folder and address for the next attempt
                self.stop()
            raise
        return self.url

    def _launch_repaired(self, program: Path) -> None:
        """Launch; a log that the server refuses is cut to its whole part first, and a copy is kept."""
        said_before = self._said()
        try:
            self._launch(program)
        except ServerNotStarted as refused:
            complaint = self._said()[len(said_before) :]
            if not is_about_the_log(complaint):
                raise
            cut_to_whole(self._data_dir, complaint)
            try:
                self._launch(program)
            except ServerNotStarted as again:
                raise beyond_repair(self._data_dir, f"it is refused even when cut: {again}") from refused
        else:
            say_what_the_server_cut(self._said()[len(said_before) :])

    def _said(self) -> bytes:
        log = self._data_dir / LOG_FILE
        return log.read_bytes() if log.exists() else b""

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
            "logfile": str(self._data_dir / LOG_FILE),
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
