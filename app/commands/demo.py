"""The recorded market that ships with the program, sent to a running service day after day.

A service on another machine wants a key that may ingest and read: SMILEKEEPER_KEY.
"""

import argparse
import os
import sys
from itertools import count
from typing import Final

import httpx

from app.commands.replay import set_by_signals
from app.feeds.chain_client import FeedRejected, ServiceAway
from app.feeds.recording import SHIPPED, read_recorded
from app.feeds.replay import replay
from app.quant.year_fraction import MS_PER_DAY
from app.service.iso_time import ms_of
from app.settings import load

UNDERLYINGS: Final = frozenset({"BTC", "ETH"})
"""Whose chains the recording holds."""
ANSWER_LIMIT_S: Final = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the target; the pace is SMILEKEEPER_DEMO_SPEED."""
    parser.add_argument("--to", metavar="URL", help="default: the service on this machine")


def run(arguments: argparse.Namespace) -> int:
    """Send the recording until asked to stop, each pass a day later than the one before.

    What the service has from an earlier run is left out.
    """
    settings = load()
    url = arguments.to or settings.base_url
    stop = set_by_signals()
    played = played_until_ms(url, settings.key)
    try:
        for days in count(days_played(played)):
            replay(
                SHIPPED,
                url=url,
                speed=settings.demo_speed,
                after_ms=played,
                later_by_days=days,
                api_key=settings.key,
                stop=stop,
            )
            if stop.is_set():
                return 0
    except (FeedRejected, ServiceAway) as ended:
        print(ended, file=sys.stderr)
    return os.EX_UNAVAILABLE


def played_until_ms(url: str, api_key: str | None = None) -> int | None:
    """Return the time up to which the service has the recording; None: not at all, or no answer."""
    try:
        headers = {"X-API-Key": api_key} if api_key else {}
        answer = httpx.get(f"{url}/v1/surfaces", headers=headers, timeout=ANSWER_LIMIT_S).raise_for_status()
    except httpx.HTTPError:  # the replay itself waits for a service that is away
        return None
    known = {each["underlying"]: ms_of(each["as_of"]) for each in answer.json()["surfaces"]}
    return min(known[name] for name in UNDERLYINGS) if known.keys() >= UNDERLYINGS else None


def days_played(played_until: int | None) -> int:
    """Return how many days later the pass is that the service has been sent up to ``played_until`` (ms UTC)."""
    if played_until is None:
        return 0
    begins = min(next(read_recorded(path)).as_of_ms for path in SHIPPED)
    return max(0, (played_until - begins) // MS_PER_DAY)
