"""The recorded market that ships with the program, sent to a running service."""

import argparse

from app.commands.replay import send
from app.feeds.recording import SHIPPED
from app.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the target; the pace is SMILEKEEPER_DEMO_SPEED."""
    parser.add_argument("--to", metavar="URL", help="default: the service on this machine")


def run(arguments: argparse.Namespace) -> int:
    """Send the recording to its end."""
    settings = load()
    return send(SHIPPED, url=arguments.to or settings.base_url, speed=settings.demo_speed)
