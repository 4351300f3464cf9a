"""Nastier things that happen to whole expiries of a chain on their way, each an edit drawn from a seed.

Unlike those of perturbations.py they know what else was on the wire: the same market an hour before, and another one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray
from app.quant.chain import ExpiryQuotes, OptionChain
from tests.bench.perturbations import MINUTE_MS, ROWS, by_expiry, chosen, scaled
from tests.quant.market import moved

DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class Wire:
    """The same underlying's chain an hour before, and another underlying's of the same minute."""

    earlier: OptionChain
    other: OptionChain


Mishap = Callable[[OptionChain, np.random.Generator, Wire], OptionChain]


def _one(
    chain: OptionChain, rng: np.random.Generator, edit: Callable[[ExpiryQuotes], ExpiryQuotes | None]
) -> OptionChain:
    """One expiry edited; unchanged where the edit knows nothing of it."""
    which = int(rng.integers(len(chain.expiries)))
    expiries = list(chain.expiries)
    expiries[which] = edit(expiries[which]) or expiries[which]
    return replace(chain, expiries=tuple(expiries))


def _joined(*parts: ExpiryQuotes) -> ExpiryQuotes:
    """The rows of all as one expiry, the first one's."""
    return replace(parts[0], **{name: np.concatenate([getattr(e, name) for e in parts]) for name in ROWS})


def _same(chain: OptionChain, expiry_ms: int) -> ExpiryQuotes | None:
    return next((e for e in chain.expiries if e.expiry_ms == expiry_ms), None)


def _matched(e: ExpiryQuotes, source: ExpiryQuotes) -> tuple[np.ndarray, BoolArray]:
    """For each row the row of ``source`` of the same strike and side, and whether there is one."""
    rows = {key: j for j, key in enumerate(zip(source.strike.tolist(), source.is_call.tolist(), strict=True))}
    at = np.array([rows.get(key, -1) for key in zip(e.strike.tolist(), e.is_call.tolist(), strict=True)])
    return at, at >= 0


def frozen_expiry(chain: OptionChain, rng: np.random.Generator, wire: Wire) -> OptionChain:
    """One expiry as it was an hour ago, prices and forwards, under the stamps of now."""
    lag = chain.as_of_ms - wire.earlier.as_of_ms

    def edit(e: ExpiryQuotes) -> ExpiryQuotes | None:
        old = _same(wire.earlier, e.expiry_ms)
        return replace(old, timestamp_ms=old.timestamp_ms + lag) if old else None

    return _one(chain, rng, edit)


def frozen_prices(chain: OptionChain, rng: np.random.Generator, wire: Wire) -> OptionChain:
    """One expiry's prices, or its bids or asks alone, are those of an hour ago; its forwards move on."""
    sides = (("bid", "ask"), ("bid",), ("ask",))[rng.integers(3)]

    def edit(e: ExpiryQuotes) -> ExpiryQuotes | None:
        old = _same(wire.earlier, e.expiry_ms)
        if old is None:
            return None
        at, known = _matched(e, old)
        return replace(e, **{side: np.where(known, getattr(old, side)[at], getattr(e, side)) for side in sides})

    return _one(chain, rng, edit)


def crossed_block(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """Bid and ask of a block of neighbouring strikes are interchanged."""
    first, share = rng.uniform(0.0, 0.9), rng.uniform(0.05, 0.4)

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        low, high = np.quantile(e.strike, [first, min(first + share, 1.0)])
        swap = (e.strike >= low) & (e.strike <= high)
        return replace(e, bid=np.where(swap, e.ask, e.bid), ask=np.where(swap, e.bid, e.ask))

    return by_expiry(chain, edit) if rng.random() < 0.3 else _one(chain, rng, edit)


def decimal_shift(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """The premiums of one strike, of put, call or both, are ten times what they were, or a tenth."""
    scale, sides = rng.choice([0.1, 10.0]), rng.integers(3)

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        hit = e.strike == rng.choice(e.strike)
        return scaled(e, np.where(hit & ((sides == 2) | (e.is_call == (sides == 1))), scale, 1.0))

    return by_expiry(chain, edit) if rng.random() < 0.3 else _one(chain, rng, edit)


def mixed_in(chain: OptionChain, rng: np.random.Generator, wire: Wire) -> OptionChain:
    """Quotes of another underlying among those of one expiry, with their own forward, this one's, or none."""
    whose, share = rng.integers(3), rng.uniform(0.02, 1.0)

    def edit(e: ExpiryQuotes) -> ExpiryQuotes | None:
        other = _same(wire.other, e.expiry_ms)
        if other is None:
            return None
        strays = chosen(other, rng.random(len(other)) < share)
        forward = (strays.forward, np.full(len(strays), e.forward[0]), np.full(len(strays), np.nan))[whose]
        return _joined(e, replace(strays, forward=forward))

    return _one(chain, rng, edit)


def in_dollars(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """The premiums of one expiry, or of a part of its strikes, are in dollars."""
    share = rng.choice([0.05, 0.3, 1.0])
    return _one(chain, rng, lambda e: scaled(e, np.where(rng.random(len(e)) < share, e.forward, 1.0)))


def mislabelled(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """One expiry is said to be a day later or earlier; where there is one on that day, they are one."""
    which, off = int(rng.integers(len(chain.expiries))), int(rng.choice([-DAY_MS, DAY_MS]))
    wrong = replace(chain.expiries[which], expiry_ms=chain.expiries[which].expiry_ms + off)
    kept = [e for i, e in enumerate(chain.expiries) if i != which and e.expiry_ms != wrong.expiry_ms]
    there = _same(chain, wrong.expiry_ms)
    merged = _joined(wrong, there) if there else wrong
    return replace(chain, expiries=tuple(sorted([*kept, merged], key=lambda e: e.expiry_ms)))


def marks_as_quotes(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """The mark is sent as bid and as ask, of one expiry or of all: no spread, or next to none."""
    apart = rng.choice([0.0, 1e-6, 1e-3])

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        mark = 0.5 * (e.bid + e.ask)
        return replace(e, bid=mark * (1.0 - apart), ask=mark * (1.0 + apart))

    return by_expiry(chain, edit) if rng.random() < 0.5 else _one(chain, rng, edit)


def duplicated_expiry(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """The quotes of one expiry come twice, the second time up to a tenth off, a second younger, older or as old."""
    scale, lag_ms = np.exp(rng.uniform(-0.1, 0.1)), int(rng.integers(-1, 2)) * 1000
    tighter = rng.choice([0.5, 1.0, 2.0])

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        mid, half = 0.5 * scale * (e.bid + e.ask), 0.5 * scale * tighter * (e.ask - e.bid)
        again = replace(e, bid=np.maximum(mid - half, 0.0), ask=mid + half, timestamp_ms=e.timestamp_ms + lag_ms)
        return _joined(e, again)

    return _one(chain, rng, edit)


def skewed_clock(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """The time of the chain is from ten minutes early to an hour late; the quotes' own stamps go with it, or not."""
    off_ms = int(rng.uniform(-10.0, 60.0) * MINUTE_MS)
    late = replace(chain, as_of_ms=chain.as_of_ms + off_ms)
    if rng.random() < 0.5:
        return late
    return by_expiry(late, lambda e: replace(e, timestamp_ms=e.timestamp_ms + off_ms))


def rows_shifted(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """Each price of one expiry stands a strike further up or down than it belongs."""
    step = int(rng.choice([-1, 1]))

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        bid, ask = e.bid.copy(), e.ask.copy()
        for side in (False, True):
            rows = np.flatnonzero(e.is_call == side)
            rows = rows[np.argsort(e.strike[rows], kind="stable")]
            bid[rows], ask[rows] = np.roll(e.bid[rows], step), np.roll(e.ask[rows], step)
        return replace(e, bid=bid, ask=ask)

    return _one(chain, rng, edit)


def sides_swapped(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """Puts of one expiry are called calls, and calls puts."""
    return _one(chain, rng, lambda e: replace(e, is_call=~e.is_call))


def neighbours_swapped(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """The prices of two neighbouring expiries are interchanged where both list the strike."""
    if len(chain.expiries) < 2:
        return chain
    first = int(rng.integers(len(chain.expiries) - 1))
    pair = chain.expiries[first : first + 2]

    def taken(e: ExpiryQuotes, source: ExpiryQuotes) -> ExpiryQuotes:
        at, known = _matched(e, source)
        return replace(e, bid=np.where(known, source.bid[at], e.bid), ask=np.where(known, source.ask[at], e.ask))

    expiries = list(chain.expiries)
    expiries[first : first + 2] = [taken(pair[0], pair[1]), taken(pair[1], pair[0])]
    return replace(chain, expiries=tuple(expiries))


def asks_pulled(chain: OptionChain, rng: np.random.Generator, _: Wire) -> OptionChain:
    """A maker withdraws: the asks of one expiry's puts, calls or both are half as dear again to three times as dear."""
    scale, sides = rng.uniform(1.5, 3.0), rng.integers(3)
    return _one(
        chain, rng, lambda e: replace(e, ask=np.where((sides == 2) | (e.is_call == (sides == 1)), scale, 1.0) * e.ask)
    )


def half_a_side_missing(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """Half of the puts, or of the calls, of all expiries are gone."""
    call = rng.random() < 0.5
    return by_expiry(chain, lambda e: chosen(e, (e.is_call != call) | (rng.random(len(e)) < 0.5)))


def crash_day(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """The spot 15 % down or more, near vols up by up to 100 points, spreads five times as wide."""
    fear = rng.uniform(0.0, 1.0)
    fallen = moved(chain, rng.uniform(0.6, 0.85), lambda vol, t: vol + fear * np.exp(-8.0 * t))

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        mid, half = 0.5 * (e.bid + e.ask), 2.5 * (e.ask - e.bid)
        return replace(e, bid=np.maximum(mid - half, 0.0), ask=mid + half)

    return by_expiry(fallen, edit)


MISHAPS: Final[Mapping[str, Mishap]] = {
    edit.__name__: edit
    for edit in (
        frozen_expiry, frozen_prices, crossed_block, decimal_shift, mixed_in, in_dollars, mislabelled, marks_as_quotes,
        duplicated_expiry, skewed_clock, rows_shifted, sides_swapped, neighbours_swapped, asks_pulled,
    )
}  # fmt: skip
MARKETS: Final[Mapping[str, Callable[[OptionChain, np.random.Generator], OptionChain]]] = {
    edit.__name__: edit for edit in (half_a_side_missing, crash_day)
}
