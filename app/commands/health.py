"""Say on one screen how an underlying is: its surface, its proof, its drift, its bars, its chains and what happened.

Exit code 0 when healthy, 1 when degraded or stale, 2 when there is no surface or no answer. A service on another
machine wants a key that may read: SMILEKEEPER_KEY, never an argument, which every user of a machine can read.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Final

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from app.client import Client, ServiceError
from app.commands.health_screen import duration, screen
from app.service.document import SurfaceMessage
from app.service.event import EventMessage
from app.settings import load

HEALTHY: Final = 0
UNHEALTHY: Final = 1
UNKNOWN: Final = 2
"""Exit codes."""

ANSWER_LIMIT_S: Final = 5.0
EVENTS_SHOWN: Final = 6
COUNTERS: Final = {
    "volsurf_snapshots_total": "received",
    "volsurf_fitted_total": "fitted",
    "volsurf_failed_total": "failed",
    "volsurf_superseded_total": "superseded",
    "volsurf_chains_pending": "pending",
}
"""Metrics of the conservation law, and what they count; stale and duplicate chains are outcomes of the first."""
REFUSED: Final = {"stale": "stale", "dup": "duplicate"}


class Health(msgspec.Struct, frozen=True):
    """Everything the screen shows. ``problems`` is empty exactly when healthy; ``last_failure`` is of a newer chain.

    ``counters`` are null for a key that is not for every underlying.
    """

    healthy: bool
    problems: list[str]
    last_failure: str | None
    counters: dict[str, int] | None
    events: list[EventMessage]
    surface: SurfaceMessage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whose health, where and how."""
    parser.add_argument("underlying", metavar="UNDERLYING")
    parser.add_argument("--url", help="default: the service on this machine")
    parser.add_argument("--json", action="store_true", help="print everything for a machine")


def run(arguments: argparse.Namespace) -> int:
    """Print the health and return the exit code."""
    settings = load()
    url = arguments.url or settings.base_url
    try:
        with Client(url, api_key=settings.key, timeout_s=ANSWER_LIMIT_S, retry_for_s=0.0) as client:
            health = health_of(client, arguments.underlying)
    except (ServiceError, httpx.HTTPError) as unknown:
        print(f"{arguments.underlying} at {url}: {unknown or type(unknown).__name__}", file=sys.stderr)
        return UNKNOWN
    if arguments.json:
        print(msgspec.json.encode(health).decode())
    else:
        surface, counters = health.surface, health.counters
        print("\n".join(screen(surface, health.problems, health.last_failure, counters, health.events)))
    return HEALTHY if health.healthy else UNHEALTHY


def health_of(client: Client, underlying: str) -> Health:
    """Ask the service. Raises ServiceError and httpx.HTTPError."""
    surface = client.surface(underlying)
    last_failure = next((line.last_failure for line in client.surfaces() if line.underlying == underlying), None)
    events = list(islice(client.events(underlying, page=EVENTS_SHOWN), EVENTS_SHOWN))
    problems = problems_of(surface)
    return Health(not problems, problems, last_failure, _counters(client, underlying), events, surface)


def problems_of(surface: SurfaceMessage) -> list[str]:
    """Return what makes a surface unhealthy, a sentence each."""
    problems = []
    if surface.stale:
        problems.append(f"stale: the market it shows is {duration(surface.age_ms)} old")
    if surface.status != "ok":
        problems.append(f"{surface.status}: {surface.reason}")
    if not surface.certificate.arbitrage_free:
        problems.append(f"not proven free of arbitrage: {'; '.join(surface.certificate.failures)}")
    return problems


def _counters(client: Client, underlying: str) -> dict[str, int] | None:
    try:
        text = client.metrics()
    except ServiceError as refused:
        if refused.status == httpx.codes.FORBIDDEN:
            return None
        raise
    return counters_of(text, underlying)


def counters_of(text: str, underlying: str) -> dict[str, int]:
    """Return the counters of the conservation law from the service's metrics."""
    names: Sequence[str] = [*COUNTERS.values(), *REFUSED.values()]
    found = dict.fromkeys(names, 0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in COUNTERS and sample.labels["underlying"] == underlying:
                found[COUNTERS[sample.name]] += int(sample.value)
                if refused := REFUSED.get(sample.labels.get("outcome", "")):
                    found[refused] += int(sample.value)
    return found
