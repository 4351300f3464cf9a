"""The command line: ``python -m app COMMAND``."""

import argparse
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import Final, TextIO

from app.commands import COMMANDS, command
from app.garbage import collect_seldom
from app.settings import InvalidSettings, use_kernels_of_this_code, use_one_numeric_thread

INTERRUPTED: Final = 128 + signal.SIGINT
"""What a shell reports for a program that Ctrl-C ended."""
READER_LEFT: Final = 128 + signal.SIGPIPE
"""What a shell reports for a program that wrote to a pipe nobody reads any more, as `head` leaves behind."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command named first in ``arguments`` (default: the process's) and return its exit code."""
    output: TextIO | None = sys.stdout
    try:
        try:
            return _run(arguments)
        finally:
            if output:
                output.flush()
    except BrokenPipeError:
        if not output or _is_read(output):
            raise
        # What is left of it goes nowhere: else the interpreter would try once more as it ends, and complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output.fileno())
        os.close(nowhere)
        return READER_LEFT


def _run(arguments: Sequence[str] | None) -> int:
    collect_seldom()
    use_one_numeric_thread()
    use_kernels_of_this_code()
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m app", description="Keeps option vol surfaces calibrated.")
    verbs = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        verb = verbs.add_parser(name, help=summary, description=summary)
        if name in given[:1]:
            command(name).add_arguments(verb)
    parsed = parser.parse_args(given)
    try:
        return command(parsed.command).run(parsed)
    except InvalidSettings as invalid:
        for problem in invalid.problems:
            sys.stderr.write(f"setting refused: {problem}\n")
        return os.EX_CONFIG
    except KeyboardInterrupt:
        return INTERRUPTED


def _is_read(output: TextIO) -> bool:
    """Tell whether anybody could still read what is written: a pipe says so when its other end is closed."""
    watched = select.poll()
    watched.register(output, 0)
    return not watched.poll(0)


if __name__ == "__main__":
    sys.exit(main())
