"""The server of our own: found, started, kept from sharing its folder, ended with its parent."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.store.data_folder import FolderInUse
from app.store.embedded import EmbeddedServer
from app.store.server_program import ServerNotStarted, find_server
from tests.servers import RealServer
from tests.store.stored import HANGS_AFTER_S, until

PARENT = """
import sys, time
from app.store.embedded import EmbeddedServer
server = EmbeddedServer(sys.argv[1])
url = server.start()
print(url, server.process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    yield server
    server.stop()


def gone(pid: int) -> bool:
    """Say whether the process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_listens_on_a_private_socket_and_nowhere_else(started: EmbeddedServer) -> None:
    path = Path(started.url.removeprefix("unix://"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(os.fsencode(path)) <= 107
    assert started.process is not None
    sockets = {os.readlink(fd) for fd in Path(f"/proc/{started.process.pid}/fd").iterdir() if fd.is_symlink()}
    inodes = {name[8:-1] for name in sockets if name.startswith("socket:")}
    listening = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    assert not [row for row in listening if row[9] in inodes], "no TCP socket"


def test_starting_again_what_runs_changes_nothing(started: EmbeddedServer) -> None:
    process = started.process
    assert started.start() == started.url
    assert started.process is process


def test_it_starts_again_after_a_kill_at_the_same_address(started: EmbeddedServer) -> None:
    url = started.url
    assert started.process is not None
    started.process.kill()
    until(lambda: not started.is_alive())
    assert started.start() == url
    assert started.is_alive()


def test_a_second_server_on_the_folder_is_refused(started: EmbeddedServer, tmp_path: Path) -> None:
    other = EmbeddedServer(tmp_path / "data")
    with pytest.raises(FolderInUse, match="in use by another running service"):
        other.start()
    assert started.is_alive()


def test_a_stopped_server_leaves_the_folder_free_and_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.embedded.STOP_WITHIN_S", HANGS_AFTER_S)
    server = EmbeddedServer(tmp_path)
    socket = Path(server.start().removeprefix("unix://"))
    process = server.process
    assert process is not None
    server.stop()
    assert process.returncode == 0, "it ended by itself"
    assert not socket.parent.exists()
    again = EmbeddedServer(tmp_path)
    again.start()
    again.stop()


def test_a_frozen_server_is_stopped_by_force(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    process = server.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    server.stop()
    assert process.returncode == -signal.SIGKILL


def test_it_ends_when_its_parent_is_killed_and_the_folder_is_free_again(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[1])
    assert not gone(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    successor = EmbeddedServer(tmp_path)
    successor.start()
    assert gone(pid)
    successor.stop()


def test_data_outlives_the_server(tmp_path: Path) -> None:
    server = RealServer(find_server(), appendfsync="always")
    server.run("SET", "kept", "1")
    server.kill()
    server.start()
    assert server.run("GET", "kept") == b"1"
    server.close()


def test_a_deep_temporary_folder_does_not_break_the_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    server = EmbeddedServer(tmp_path / "data", socket_dir=deep)
    assert len(server.start()) < 107
    server.stop()


def test_a_server_that_cannot_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServerNotStarted, match="cannot be run as a server"):
        EmbeddedServer(tmp_path, program=tmp_path / "missing").start()


def test_a_program_that_is_no_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerNotStarted, match="does not say its version"):
        EmbeddedServer(tmp_path, program="/bin/true").start()


def test_an_old_server_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho Redis server v=5.0.14 sha=0\n")
    old.chmod(0o755)
    with pytest.raises(ServerNotStarted, match=r"version 5\.0, at least 6\.2"):
        find_server(old)


def test_a_server_that_ends_at_once_is_told(tmp_path: Path) -> None:
    log = tmp_path / "appendonlydir"
    log.write_text("a file where the server wants a folder")
    with pytest.raises(ServerNotStarted, match="ended with code"):
        EmbeddedServer(tmp_path).start()


def test_an_unknown_sync_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'never'"):
        EmbeddedServer(tmp_path, appendfsync="never")


def test_a_thread_that_may_end_must_not_start_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(EmbeddedServer(tmp_path).start).result()


def test_there_is_no_address_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(ServerNotStarted, match="before it is started"):
        EmbeddedServer(tmp_path).url  # noqa: B018
