"""What a setting's text must be: a rule in words, and how the text becomes the value."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be, in words, and how its text becomes the value (ValueError: it does not)."""

    words: str
    parse: Callable[[str], Any]


def whole(low: int, high: int) -> Rule:
    """Return the rule of whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return Rule(f"a whole number from {low} to {high}", parse)


def number(low: float, high: float) -> Rule:
    """Return the rule of numbers from ``low`` to ``high``."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # also refuses nan
            raise ValueError(text)
        return value

    return Rule(f"a number from {low:g} to {high:g}", parse)


def one_of(*choices: str) -> Rule:
    """Return the rule of these words, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(text)
        return text.lower()

    return Rule(f"one of {', '.join(choices)}", parse)


def matching(pattern: str, words: str) -> Rule:
    """Return the rule of texts that match all of ``pattern``."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return Rule(words, parse)


def _parse_switch(text: str) -> bool:
    states = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in states:
        raise ValueError(text)
    return states[text.lower()]


def _parse_redis_url(text: str) -> str | None:
    if not text:
        return None
    url = urlsplit(text)
    if url.scheme not in ("redis", "rediss", "unix") or not (url.hostname or url.path):
        raise ValueError(text)
    return text


def _parse_workers(text: str) -> int:
    return whole(1, 256).parse(text) if text else max(1, _usable_cores() - 1)


_MODEL_NAME: Final = r"[a-z][a-z0-9_]*"


def _parse_model(text: str) -> str | None:
    if text and not re.fullmatch(_MODEL_NAME, text):
        raise ValueError(text)
    return text or None


def _parse_key(text: str) -> str | None:
    if text and not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError(text)
    return text or None


@dataclass(frozen=True, slots=True)
class Assignment:
    """The models of one underlying, or of every one that has no assignment of its own (``underlying`` empty)."""

    underlying: str
    models: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.underlying}={'+'.join(self.models)}" if self.underlying else "+".join(self.models)


def _parse_assignments(text: str) -> tuple[Assignment, ...]:
    """Return one assignment an underlying; models without one belong to all others together."""
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        underlying, assigned, names = part.rpartition("=")
        models = tuple(names.split("+"))
        if bool(assigned) != bool(underlying) or not all(re.fullmatch(_MODEL_NAME, each) for each in models):
            raise ValueError(text)
        if underlying and underlying in found:
            raise ValueError(text)
        found[underlying] = (*found.get(underlying, ()), *models)
    return tuple(Assignment(underlying, models) for underlying, models in found.items())


def _parse_models(text: str) -> tuple[Assignment, ...]:
    assignments = _parse_assignments(text)
    if any(not each.underlying or len(each.models) > 1 for each in assignments):
        raise ValueError(text)
    return assignments


def _parse_program(text: str) -> Path | None:
    if text and not os.access(text, os.X_OK):
        raise ValueError(text)
    return Path(text) if text else None


def _parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


SWITCH: Final = Rule("1 or 0 (also true, false, yes, no, on, off)", _parse_switch)
REDIS_URL: Final = Rule("empty, or a redis://, rediss:// or unix:// URL", _parse_redis_url)
WORKERS: Final = Rule("empty (cores - 1, at least 1), or a whole number from 1 to 256", _parse_workers)
KEY: Final = Rule("empty, or a key as `keys create` prints it", _parse_key)
PROGRAM: Final = Rule("empty, or the path of an executable file", _parse_program)
NETWORKS: Final = Rule("empty, or networks such as 10.0.0.0/8, separated by commas", _parse_networks)
FOLDER: Final = Rule("a folder's path", Path)
FSYNC: Final = one_of("always", "everysec")
LOG_LEVEL: Final = one_of("debug", "info", "warning", "error")
LOG_FORMAT: Final = one_of("auto", "json", "text")
HOST: Final = matching(r"[\w.:-]+", "a host name or an IP address")
MODELS: Final = Rule("empty, or models of underlyings, such as BTC=svi,ETH=essvi", _parse_models)
CHALLENGERS: Final = Rule(
    "empty, or models such as svi,essvi; those of one underlying as BTC=svi+essvi", _parse_assignments
)
PROMOTE: Final = one_of("off", "auto")
MODEL: Final = Rule("empty, or a model's name: lower-case letters, digits and underscores", _parse_model)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
