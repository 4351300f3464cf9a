"""The recorded market that ships with the program, sent to a running service from where that one stands."""

import argparse
from typing import Final

import httpx

from app.commands.replay import send
from app.feeds.recording import SHIPPED
from app.service.iso_time import ms_of
from app.settings import load

UNDERLYINGS: Final = frozenset({"BTC", "ETH"})
"""Whose chains the recording holds."""
ANSWER_LIMIT_S: Final = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the target; the pace is SMILEKEEPER_DEMO_SPEED."""
    parser.add_argument("--to", metavar="URL", help="default: the service on this machine")


def run(arguments: argparse.Namespace) -> int:
    """Send the recording to its end. What the service has from an earlier run is left out."""
    settings = load()
    url = arguments.to or settings.base_url
    return send(SHIPPED, url=url, speed=settings.demo_speed, after_ms=played_until_ms(url))


def played_until_ms(url: str) -> int | None:
    """Return the time up to which the service has the recording; None: not at all, or no answer."""
    try:
        answer = httpx.get(f"{url}/v1/surfaces", timeout=ANSWER_LIMIT_S).raise_for_status()
    except httpx.HTTPError:  # the replay itself waits for a service that is away
        return None
    known = {each["underlying"]: ms_of(each["as_of"]) for each in answer.json()["surfaces"]}
    return min(known[name] for name in UNDERLYINGS) if known.keys() >= UNDERLYINGS else None
