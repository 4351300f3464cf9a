"""The recorded market as any number of underlyings: real chains, in order, for real fits."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from app.feeds.recording import SHIPPED, read_recorded
from app.quant.chain import OptionChain
from app.store.codec import encode_chain
from app.venues import VENUES

PLAYED = 24
"""Chains of each recording that are used; parsing them all would take longer than the tests."""


@functools.cache
def recordings() -> Sequence[Sequence[OptionChain]]:
    """Return BTC's and ETH's first chains, in order."""
    return [_first_chains(path) for path in SHIPPED]


def recorded_chain(number: int, step: int, steps: int) -> tuple[int, int, bytes]:
    """Return as_of, sequence and bytes of chain ``step`` of ``steps`` of underlying ``number``; they rise with it."""
    chains = recordings()[number % 2]
    chain = chains[step * len(chains) // steps]
    stamped = dataclasses.replace(chain, underlying=name_of(number), sequence=step)
    return stamped.as_of_ms, step, encode_chain(stamped)


def name_of(number: int) -> str:
    """Return the name of underlying ``number``."""
    return f"U{number:02}"


def _first_chains(path: Path) -> list[OptionChain]:
    chains = []
    for recorded in read_recorded(path):
        chains.append(VENUES[recorded.venue].parse(recorded.body, received_ms=0))
        if len(chains) == PLAYED:
            break
    return chains
