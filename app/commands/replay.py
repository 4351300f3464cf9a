"""Post recorded chains to a running service, with a bar of progress on a terminal; or fit a stored one once more.

A service on another machine wants a key: SMILEKEEPER_KEY, never an argument, which every user of a machine can read.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Final

from app.feeds.chain_client import FeedRejected, ServiceAway
from app.feeds.recording import InvalidRecording, read_recorded
from app.feeds.replay import ReplayResult, replay
from app.service.iso_time import iso_utc
from app.settings import load

BAR_WIDTH: Final = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare files, target and pace."""
    parser.add_argument("files", nargs="*", type=Path, help="recordings; their names begin with the venue")
    parser.add_argument("--to", default="http://127.0.0.1:8000", metavar="URL", help="default: %(default)s")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="recorded seconds sent in a second; inf: as fast as taken (default: 1)"
    )
    parser.add_argument("--verify", metavar="UNDERLYING", help="fit its stored chain again and compare every byte")
    parser.add_argument("--version", type=int, help="which surface to verify (default: the newest)")
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Send every chain and print what became of them, or verify a stored one."""
    if bool(arguments.files) == bool(arguments.verify):
        arguments.usage_error("name files to send, or --verify UNDERLYING")
    if arguments.verify:
        # Imported here, so that a replay does not wait for numba.
        from app.commands.verification import verify_stored  # noqa: PLC0415

        return verify_stored(arguments.verify, arguments.version)
    return send(arguments.files, url=arguments.to, speed=arguments.speed, api_key=load().key)


def send(
    paths: Sequence[Path], *, url: str, speed: float, after_ms: int | None = None, api_key: str | None = None
) -> int:
    """Replay what is in ``paths`` after ``after_ms`` until the end, SIGINT or SIGTERM, and return the exit code."""
    stop = set_by_signals()
    try:
        times_ms = [chain.as_of_ms for path in paths for chain in read_recorded(path)]
        bar = ProgressBar(sum(1 for as_of_ms in times_ms if after_ms is None or as_of_ms > after_ms))
        result = replay(
            paths, url=url, speed=speed, after_ms=after_ms, api_key=api_key, on_progress=bar.show, stop=stop
        )
    except (OSError, ValueError, FeedRejected, ServiceAway, InvalidRecording) as error:
        print(f"\n{error}" if sys.stderr.isatty() else str(error), file=sys.stderr)
        return os.EX_DATAERR if isinstance(error, OSError | ValueError) else os.EX_UNAVAILABLE
    bar.end()
    print(summary(result))
    return 0 if result.complete or stop.is_set() else 1


def set_by_signals() -> Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


class ProgressBar:
    """One line on stderr, drawn over itself; nothing where stderr is not a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown = sys.stderr.isatty()

    def show(self, result: ReplayResult) -> None:
        """Draw how far ``result`` is."""
        if self._shown:
            done = BAR_WIDTH * result.sent // max(self._total, 1)
            bar = "#" * done + "-" * (BAR_WIDTH - done)
            when = iso_utc(result.as_of_ms)[:16].replace("T", " ") if result.as_of_ms is not None else ""
            sys.stderr.write(f"\r[{bar}] {result.sent}/{self._total}  {when}  {_outcomes(result)}\033[K")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            sys.stderr.write("\n")


def summary(result: ReplayResult) -> str:
    """Return the sentence printed at the end."""
    if result.complete and not result.sent:
        return "0 chains sent: the service has all of them (an empty data folder begins anew)"
    end = "" if result.complete else " (stopped before the end)"
    retries = f"; {result.retries} sent again" if result.retries else ""
    refusal = f"; last refusal: {result.last_refusal}" if result.last_refusal else ""
    return f"{result.sent} chains sent{end}: {_outcomes(result) or 'none answered'}{retries}{refusal}"


def _outcomes(result: ReplayResult) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(result.outcomes.items()))
