"""The verbs of the command line: a file here with ``add_arguments`` and ``run``, and a line in COMMANDS.

Modules are imported only when asked for, so that `run` does not pay for numpy.
"""

import argparse
import importlib
from typing import Final, Protocol, cast

COMMANDS: Final = {
    "run": "start everything: embedded store, API, workers and the demo feed, restarted when one dies",
    "api": "serve HTTP and WebSocket; needs REDIS_URL",
    "worker": "calibrate waiting chains; needs REDIS_URL",
    "demo": "post the recorded chains that ship with the program to a running service",
    "keys": "make, list and revoke the keys of callers from other machines",
    "health": "say on one screen how an underlying is; exit code 0 when it is healthy",
    "healthy": "exit with 0 when the service on this machine is ready, or a worker lives",
    "calibrate": "fit one recorded chain and print the fit, with no service",
    "replay": "post recorded chains to a running service at their own pace or faster",
    "dead-letters": "list, show or retry the chains that ended their worker each time",
    "promote": "let a model take over an underlying from its next chain on",
    "settings": "print every setting in force and where it came from",
    "warm": "compile the numeric kernels once, with progress",
}


class Command(Protocol):
    """What a module of this package offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code."""
        ...


def command(name: str) -> Command:
    """Return the command called ``name``, a key of COMMANDS."""
    return cast(Command, importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))
