"""The folder of an embedded server: one server at a time, whose address is found there."""

import fcntl
import time
from pathlib import Path
from typing import IO, Final

from app.store.server_program import ServerNotStarted

LOCK_WITHIN_S: Final = 2.0
"""How long a server whose parent was killed may take to let go of its folder."""
POLL_S: Final = 0.005
ADDRESS_FILE: Final = "store.url"
"""In the data folder while the server runs: where an operator's command on this machine finds it."""


class FolderInUse(ServerNotStarted):
    """Another server runs on the data folder. Two would both answer and each keep half of the data."""


def running_url(data_dir: str | Path) -> str:
    """Return the URL of the server that runs on ``data_dir``. Raises ServerNotStarted when none does."""
    try:
        return (Path(data_dir) / ADDRESS_FILE).read_text()
    except FileNotFoundError as missing:
        raise ServerNotStarted(f"no embedded server runs on {Path(data_dir).absolute()}") from missing


def locked(data_dir: Path) -> IO[str]:
    """Return the open lock of the folder, ours while it is open. Raises FolderInUse."""
    path = data_dir / "store.lock"
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
                f"{data_dir} is in use by another running service ({path} is locked): "
                "stop that one, or choose another data folder"
            ) from held
        return lock
