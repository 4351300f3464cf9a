"""A bound on label values: a client can name any underlying, a time series database must not follow."""

from collections.abc import Iterable
from typing import Final

MAX_UNDERLYINGS: Final = 200
"""Underlyings with series of their own; 200 with 60 series each are small to a Prometheus server."""

OTHER: Final = "other"
"""The label of all further underlyings together."""


class UnderlyingLabels:
    """Gives underlyings their label, first come first served, and keeps it while the process lives."""

    def __init__(self, limit: int = MAX_UNDERLYINGS) -> None:
        self._limit = limit
        self._named: set[str] = set()

    def __call__(self, underlying: str) -> str:
        """Return the label of ``underlying``."""
        if underlying not in self._named and len(self._named) < self._limit:
            self._named.add(underlying)
        return underlying if underlying in self._named else OTHER

    def admit(self, underlyings: Iterable[str]) -> None:
        """Give out labels in alphabetical order, so that replicas that start together agree."""
        for underlying in sorted(underlyings):
            self(underlying)
