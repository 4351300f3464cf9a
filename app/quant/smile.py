"""ExpiryQuotes -> Smile: what a model is fitted to. Every quote that is not used has a reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray, frozen
from app.quant.chain import OptionChain, Premium
from app.quant.dropped import Dropped, Verdicts
from app.quant.forward import ChainForwards, table_forwards
from app.quant.implied_vol import ImpliedVols, IvStatus, implied_vol
from app.quant.parity_check import ParityCheck
from app.quant.quote_noise import depth_multiplier, quote_noise, tick_size
from app.quant.quote_table import QuoteTable, quote_table
from app.quant.rate_curve import RateCurve, rate_curve
from app.quant.screening import screened
from app.quant.year_fraction import MS_PER_YEAR, days

__all__ = ["ChainSmiles", "Dropped", "ExcludedExpiry", "ExpiryStatus", "Smile", "read_smiles"]


class ExpiryStatus(StrEnum):
    """What became of an expiry."""

    OK = "ok"
    DEGRADED = "degraded"
    TOO_FEW_QUOTES = "too_few_quotes"
    NO_FORWARD = "no_forward"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, eq=False)
class Smile:
    """Two-sided out-of-the-money quotes of one expiry in vol space; arrays of length n, strikes ascending.

    ``k`` = ln(strike / forward), where the venue sent one at the forward of the quote's own time; vols are decimals,
    ACT/365; ``mid_vol`` is the mean of bid and ask vol; ``noise`` is one standard deviation of the mid vol
    (quote_noise.py). ``forward_sd`` is one standard deviation of the forward, in its own units.
    """

    expiry_ms: int
    t: float
    forward: float
    forward_sd: float
    discount_factor: float
    strike: FloatArray
    is_call: BoolArray
    k: FloatArray
    bid_vol: FloatArray
    ask_vol: FloatArray
    mid_vol: FloatArray
    noise: FloatArray
    dropped: Mapping[str, int]

    def __len__(self) -> int:
        return int(self.k.shape[0])


@dataclass(frozen=True, slots=True)
class ExcludedExpiry:
    """An expiry that gets no smile, with the sentence an operator reads."""

    expiry_ms: int
    t: float
    status: ExpiryStatus
    reason: str
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ChainSmiles:
    """All expiries of a chain, each in exactly one of the two tuples, ascending.

    ``rate_curve`` is through every expiry whose forward is known; None where there is none. ``parity`` has one entry an
    expiry of the chain, in its order.
    """

    smiles: tuple[Smile, ...]
    excluded: tuple[ExcludedExpiry, ...]
    rate_curve: RateCurve | None
    parity: tuple[ParityCheck, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReadQuotes:
    """Every quote of a chain with its verdict.

    ``used`` are the rows of ``table`` that can be fitted to; the vols and ``noise`` have one entry for each of them.
    """

    table: QuoteTable
    forwards: ChainForwards
    verdicts: Verdicts
    used: IntArray
    bid_vol: FloatArray
    ask_vol: FloatArray
    noise: FloatArray


_INVERSION: Final = {
    IvStatus.BELOW_INTRINSIC: Dropped.BELOW_INTRINSIC,
    IvStatus.NO_TIME_VALUE: Dropped.NO_TIME_VALUE,
    IvStatus.ABOVE_BOUND: Dropped.ABOVE_BOUND,
    IvStatus.NOT_RECOVERABLE: Dropped.NOT_RECOVERABLE,
    IvStatus.INVALID: Dropped.NOT_FINITE,
}


def read_smiles(chain: OptionChain, *, min_quotes: int = 5) -> ChainSmiles:
    """Turn every expiry of ``chain`` into a smile, or say why not.

    Only the out-of-the-money option of a strike is used (at the money the tighter one): the other side has served
    parity, and behind a missing out-of-the-money quote its own spread is wider than what it could add. A bid of 0 is
    no bid. A locked book (bid = ask) counts as crossed: an exchange would have matched it, so one side is old. An
    expiry with fewer than ``min_quotes`` usable quotes is excluded.
    """
    quotes_read = read_quotes(chain)
    table, forwards, verdicts, used = quotes_read.table, quotes_read.forwards, quotes_read.verdicts, quotes_read.used
    strike, is_call = frozen(table.strike[used]), frozen(table.is_call[used], np.bool_)
    k = frozen(np.log(strike / forwards.row_value[used]))
    bid_vol, ask_vol = frozen(quotes_read.bid_vol), frozen(quotes_read.ask_vol)
    noise = frozen(quotes_read.noise)
    mid_vol = frozen(0.5 * (bid_vol + ask_vol))
    ends = np.searchsorted(table.expiry[used], np.arange(len(chain.expiries) + 1))
    excluding = np.isnan(forwards.value) | (np.diff(ends) < min_quotes)
    verdicts.drop(excluding[table.expiry], Dropped.EXPIRY_EXCLUDED)
    # Python's own numbers: an array's take several times as long to index with.
    bounds, left_out = ends.tolist(), excluding.tolist()
    dropped = verdicts.counts(table.expiry, len(chain.expiries))
    numbers = (a.tolist() for a in (table.t, forwards.value, forwards.sd, forwards.discount_factor))
    smiles, excluded = [], []
    for e, (quotes, t, forward, sd, discount_factor) in enumerate(zip(chain.expiries, *numbers, strict=True)):
        if left_out[e]:
            status, reason = _exclusion(t, math.isnan(forward), bounds[e + 1] - bounds[e], min_quotes)
            excluded.append(ExcludedExpiry(quotes.expiry_ms, t, status, reason, dropped[e]))
            continue
        rows = slice(bounds[e], bounds[e + 1])
        smiles.append(
            Smile(
                expiry_ms=quotes.expiry_ms,
                t=t,
                forward=forward,
                forward_sd=sd,
                discount_factor=discount_factor,
                strike=strike[rows],
                is_call=is_call[rows],
                k=k[rows],
                bid_vol=bid_vol[rows],
                ask_vol=ask_vol[rows],
                mid_vol=mid_vol[rows],
                noise=noise[rows],
                dropped=dropped[e],
            )
        )
    known = np.isfinite(forwards.value)
    pillars = (a[known] for a in (table.t, forwards.value, forwards.sd, forwards.discount_factor))
    curve = rate_curve(*pillars) if known.any() else None
    return ChainSmiles(tuple(smiles), tuple(excluded), curve, forwards.parity)


def read_quotes(chain: OptionChain) -> ReadQuotes:
    """Find the forwards of ``chain``, and of each quote its vols or the reason why it is not used."""
    table = quote_table(chain)
    forwards = table_forwards(chain, table)
    verdicts = screened(table, forwards)
    return ReadQuotes(table, forwards, verdicts, *_invert(chain, table, forwards, verdicts))


def _exclusion(t: float, no_forward: bool, count: int, min_quotes: int) -> tuple[ExpiryStatus, str]:
    if t <= 0.0:
        return ExpiryStatus.EXPIRED, f"expired {days(abs(t)):.4g} days before the chain was taken"
    if no_forward:
        return (
            ExpiryStatus.NO_FORWARD,
            "no future, no quoted forward and no put-call parity tells its forward within 1 %",
        )
    return ExpiryStatus.TOO_FEW_QUOTES, f"{count} usable out-of-the-money quotes, a smile needs at least {min_quotes}"


def side_vols(
    chain: OptionChain, table: QuoteTable, forwards: ChainForwards, rows: IntArray
) -> tuple[ImpliedVols, ImpliedVols]:
    """Return the implied vols of the bids and of the asks of ``rows``, each at its own forward and time."""
    paid = np.stack([table.bid[rows], table.ask[rows]]) * _unit(chain, table, forwards, rows)
    t = _time_left(table, rows)
    both = implied_vol(paid, forwards.row_value[rows], table.strike[rows], t, table.is_call[rows])
    bids, asks = (ImpliedVols(vol, status) for vol, status in zip(both.vol, both.status, strict=True))
    return bids, asks


def _unit(chain: OptionChain, table: QuoteTable, forwards: ChainForwards, rows: IntArray) -> FloatArray:
    """Return what one unit of premium is in undiscounted quote currency."""
    if chain.premium is Premium.COIN:
        return forwards.row_value[rows]
    unit: FloatArray = 1.0 / forwards.discount_factor[table.expiry[rows]]
    return unit


def _time_left(table: QuoteTable, rows: IntArray) -> FloatArray:
    """Return years to expiry when each quote was seen: its vol belongs to the time it had left then."""
    return table.t[table.expiry[rows]] + table.age_ms[rows] / MS_PER_YEAR


def _invert(
    chain: OptionChain, table: QuoteTable, forwards: ChainForwards, verdicts: Verdicts
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Return (rows used, bid vol, ask vol, noise); quotes whose vols cannot be told get their reason."""
    rows = np.flatnonzero((verdicts.code == 0) & np.isfinite(forwards.value)[table.expiry])
    bids, asks = side_vols(chain, table, forwards, rows)
    for status in (bids.status, asks.status):
        for failure in set(status[status != IvStatus.OK].tolist()):
            verdicts.drop_rows(rows[status == failure], _INVERSION[IvStatus(failure)])
    verdicts.drop_rows(rows[~(bids.vol < asks.vol)], Dropped.NOT_RECOVERABLE)
    good = verdicts.code[rows] == 0
    used, bid_vol, ask_vol = rows[good], bids.vol[good], asks.vol[good]
    forward = forwards.row_value[used]
    noise = quote_noise(
        forward=forward,
        forward_sd=forwards.row_sd[used],
        strike=table.strike[used],
        t=_time_left(table, used),
        is_call=table.is_call[used],
        bid_vol=bid_vol,
        ask_vol=ask_vol,
        tick=tick_size(0.5 * (table.bid[used] + table.ask[used]), chain.rules) * _unit(chain, table, forwards, used),
        age_ms=table.age_ms[used],
        depth_factor=depth_multiplier(table.bid_size[used], table.ask_size[used]),
        premium=chain.premium,
    )
    told = np.isfinite(noise)
    verdicts.drop_rows(used[~told], Dropped.NOT_RECOVERABLE)
    return used[told], bid_vol[told], ask_vol[told], noise[told]
