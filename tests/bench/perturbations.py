"""What happens to chains on their way: benign losses and noise, and bad prices; each an edit drawn from a seed.

A benign edit leaves a chain that tells less or less exactly of its market. A bad one leaves prices that nobody made.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray
from app.quant.chain import ExpiryQuotes, OptionChain
from tests.quant.market import repriced

Edit = Callable[[OptionChain, np.random.Generator], OptionChain]
ROWS: Final = ("strike", "is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward")
MINUTE_MS: Final = 60_000


def by_expiry(chain: OptionChain, edit: Callable[[ExpiryQuotes], ExpiryQuotes]) -> OptionChain:
    """Return ``chain`` with each expiry edited; expiries left without a quote are gone."""
    edited = (edit(e) for e in chain.expiries)
    return replace(chain, expiries=tuple(e for e in edited if len(e)))


def chosen(e: ExpiryQuotes, rows: BoolArray) -> ExpiryQuotes:
    """Return the quotes of ``rows``."""
    return replace(e, **{name: getattr(e, name)[rows] for name in ROWS})


def scaled(e: ExpiryQuotes, scale: FloatArray | float) -> ExpiryQuotes:
    """Return the quotes with both prices multiplied."""
    return replace(e, bid=e.bid * scale, ask=e.ask * scale)


def noise(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """Every price off by up to some per cent, bids down and asks up by as much again."""
    size = rng.uniform(0.001, 0.02)

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        common = np.exp(size * rng.standard_normal(len(e)))
        apart = np.exp(np.abs(size * rng.standard_normal(len(e))))
        return replace(e, bid=e.bid * common / apart, ask=e.ask * common * apart)

    return by_expiry(chain, edit)


def missing_strikes(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """A random part of the quotes is gone, up to nine in ten."""
    kept = rng.uniform(0.1, 0.9)
    return by_expiry(chain, lambda e: chosen(e, rng.random(len(e)) < kept))


def missing_expiries(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """Some expiries are gone, never all."""
    kept = rng.random(len(chain.expiries)) < rng.uniform(0.2, 0.9)
    kept[rng.integers(len(chain.expiries))] = True
    return replace(chain, expiries=tuple(e for e, keep in zip(chain.expiries, kept, strict=True) if keep))


def jump(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """Every implied vol a tenth higher or lower, as after a jump of the market."""
    return repriced(chain, rng.choice([0.9, 1.1]))


def missing_sides(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """A random third of the bids and of the asks are not there, as NaN or as the price 0."""
    none = rng.choice([np.nan, 0.0])

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        no_bid, no_ask = rng.random((2, len(e))) < 1 / 3
        return replace(e, bid=np.where(no_bid, none, e.bid), ask=np.where(no_ask, none, e.ask))

    return by_expiry(chain, edit)


def one_sided_wings(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """No bids outside of the middle strikes."""
    share = rng.uniform(0.1, 0.45)

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        low, high = np.quantile(e.strike, [share, 1.0 - share])
        return replace(e, bid=np.where((e.strike < low) | (e.strike > high), np.nan, e.bid))

    return by_expiry(chain, edit)


def tiny(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """One expiry of a dozen quotes or fewer."""
    e = chain.expiries[rng.integers(len(chain.expiries))]
    rows = np.zeros(len(e), dtype=np.bool_)
    rows[rng.permutation(len(e))[: rng.integers(1, 13)]] = True
    return replace(chain, expiries=(chosen(e, rows),))


def duplicated_strikes(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """A fifth of the quotes comes twice."""

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        again = chosen(e, rng.random(len(e)) < 0.2)
        return replace(e, **{name: np.concatenate([getattr(e, name), getattr(again, name)]) for name in ROWS})

    return by_expiry(chain, edit)


def without_forwards(chain: OptionChain, _: np.random.Generator) -> OptionChain:
    """The venue sent no forwards and no futures."""
    return replace(by_expiry(chain, lambda e: replace(e, forward=np.full(len(e), np.nan))), futures=())


def old_quotes(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """A third of the quotes was last seen up to twenty minutes ago."""

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        age_ms = np.where(rng.random(len(e)) < 1 / 3, rng.integers(0, 20 * MINUTE_MS, len(e)), 0)
        return replace(e, timestamp_ms=e.timestamp_ms - age_ms)

    return by_expiry(chain, edit)


def about_to_expire(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """The same prices, taken from half a minute to an hour before the first expiry."""
    later_ms = chain.expiries[0].expiry_ms - int(rng.integers(MINUTE_MS // 2, 60 * MINUTE_MS)) - chain.as_of_ms
    if later_ms <= 0:
        return chain
    moved = by_expiry(chain, lambda e: replace(e, timestamp_ms=e.timestamp_ms + later_ms))
    return replace(moved, as_of_ms=chain.as_of_ms + later_ms)


def stale_forwards(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """The forwards of one expiry or of all are up to 2 % away from the market."""
    which = rng.integers(-1, len(chain.expiries))
    scale = 1.0 + rng.uniform(-0.02, 0.02)
    hit = [i == which or which < 0 for i in range(len(chain.expiries))]
    expiries = [replace(e, forward=e.forward * scale) if h else e for e, h in zip(chain.expiries, hit, strict=True)]
    return replace(chain, expiries=tuple(expiries))


def crossed(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """Bid and ask of up to a third of the quotes are interchanged."""
    share = rng.uniform(0.02, 0.35)

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        swap = rng.random(len(e)) < share
        return replace(e, bid=np.where(swap, e.ask, e.bid), ask=np.where(swap, e.bid, e.ask))

    return by_expiry(chain, edit)


def fat_fingers(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """A few quotes at a tenth, a third, three or ten times their price."""
    share = rng.choice([0.002, 0.01, 0.05])

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        slip = rng.choice([0.1, 1 / 3, 3.0, 10.0], len(e))
        return scaled(e, np.where(rng.random(len(e)) < share, slip, 1.0))

    return by_expiry(chain, edit)


def quarter_dearer(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """A random quarter of the quotes is a quarter dearer."""
    return by_expiry(chain, lambda e: scaled(e, np.where(rng.random(len(e)) < 0.25, 1.25, 1.0)))


def premiums_off(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """Every premium is wrong by a tenth to a third, those in the money as well; by less, spreads hide it."""
    scale = np.exp(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.3))
    return by_expiry(chain, lambda e: scaled(e, scale))


def one_expiry_off(chain: OptionChain, rng: np.random.Generator) -> OptionChain:
    """All premiums of one expiry are wrong by up to a half."""
    which, scale = rng.integers(len(chain.expiries)), np.exp(rng.uniform(-0.5, 0.5))
    expiries = [scaled(e, scale) if i == which else e for i, e in enumerate(chain.expiries)]
    return replace(chain, expiries=tuple(expiries))


BENIGN: Final[Mapping[str, Edit]] = {
    edit.__name__: edit
    for edit in (
        noise, missing_strikes, missing_expiries, jump, missing_sides, one_sided_wings, tiny, duplicated_strikes,
        without_forwards, old_quotes, about_to_expire,
    )
}  # fmt: skip
BAD: Final[Mapping[str, Edit]] = {
    edit.__name__: edit for edit in (stale_forwards, crossed, fat_fingers, quarter_dearer, premiums_off, one_expiry_off)
}
