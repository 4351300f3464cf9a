"""All quotes of a chain as vols beside the surface that was fitted to them: which were used, and why the others not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.chain import OptionChain
from app.quant.confirmation import confirmed_smiles, unconfirmed
from app.quant.dropped import Dropped
from app.quant.gate import widening_since
from app.quant.innovations import innovations_of
from app.quant.models import MODELS
from app.quant.smile import ReadQuotes, Smile, read_quotes, read_smiles, side_vols
from app.quant.surface import SurfaceSlice, VolSurface


@dataclass(frozen=True, slots=True)
class DroppedQuote:
    """A quote that was not fitted to; ``reason`` is one of Dropped."""

    strike: float
    is_call: bool
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ExpiryVols:
    """One expiry of a chain in vol space; arrays of one length, strikes ascending.

    They hold the out-of-the-money quotes that have a vol on one side at least, used or not; ``dropped`` every quote
    that was not used. ``k`` = ln(strike / forward of the quote's own time), vols are decimals, ACT/365: NaN where a
    side has none. ``mid_vol`` needs both sides, ``model_vol`` the slice's curve. ``forward`` is NaN where unknown.
    """

    expiry_ms: int
    forward: float
    strike: FloatArray
    is_call: BoolArray
    k: FloatArray
    bid_vol: FloatArray
    ask_vol: FloatArray
    mid_vol: FloatArray
    model_vol: FloatArray
    used: BoolArray
    dropped: tuple[DroppedQuote, ...]


def fitted_smiles(chain: OptionChain, model: str, previous: VolSurface | None) -> tuple[Smile, ...]:
    """Return the smiles that ``model`` was fitted to, without the quotes that ``previous`` did not confirm.

    ``previous`` is None where quotes were not judged by it: of a first surface, and after a shift of regime.
    """
    min_quotes = MODELS[model].min_quotes
    smiles = read_smiles(chain, min_quotes=min_quotes).smiles
    if previous is None:
        return smiles
    innovations = innovations_of(smiles, previous)
    flagged = unconfirmed(innovations, widening_since(previous, chain.as_of_ms))
    return confirmed_smiles(smiles, innovations, flagged, min_quotes)


def chain_vols(chain: OptionChain, fitted: Sequence[Smile], surface: VolSurface) -> tuple[ExpiryVols, ...]:
    """Return every expiry of ``chain`` beside ``surface``, which was fitted to the smiles ``fitted``.

    Every quote of the chain is used or dropped for one reason.
    """
    quotes = read_quotes(chain)
    table, verdicts = quotes.table, quotes.verdicts
    smiles = {smile.expiry_ms: smile for smile in fitted}
    slices = {each.expiry_ms: each for each in surface.slices}
    used = np.zeros(len(table), dtype=np.bool_)
    for e, expiry in enumerate(chain.expiries):
        rows = quotes.used[table.expiry[quotes.used] == e]
        smile = smiles.get(expiry.expiry_ms)
        if smile is None:
            verdicts.drop_rows(rows, Dropped.EXPIRY_EXCLUDED)
            continue
        kept = np.isin(table.strike[rows], smile.strike)
        verdicts.drop_rows(rows[~kept], Dropped.UNCONFIRMED)
        used[rows[kept]] = True
    _name_the_rest(quotes, used)
    return tuple(
        _expiry_vols(chain, quotes, used, e, slices.get(expiry.expiry_ms)) for e, expiry in enumerate(chain.expiries)
    )


def _name_the_rest(quotes: ReadQuotes, used: BoolArray) -> None:
    """Quotes that were never inverted because their expiry has no forward are dropped with it."""
    quotes.verdicts.drop(~used, Dropped.EXPIRY_EXCLUDED)


def _expiry_vols(
    chain: OptionChain, quotes: ReadQuotes, used: BoolArray, e: int, fitted: SurfaceSlice | None
) -> ExpiryVols:
    table, forwards = quotes.table, quotes.forwards
    every = np.arange(table.start[e], table.start[e + 1])
    forward = float(forwards.value[e])
    rows = _shown(quotes, used, every, forward)
    bids, asks = side_vols(chain, table, forwards, rows)
    seen = np.isfinite(bids.vol) | np.isfinite(asks.vol)
    rows, bid_vol, ask_vol = rows[seen], bids.vol[seen], asks.vol[seen]
    k = np.log(table.strike[rows] / forwards.row_value[rows])
    model_vol = np.full(rows.shape, np.nan)
    if fitted:
        model_vol = np.sqrt(fitted.curve.total_variance(k) / fitted.t)
    return ExpiryVols(
        expiry_ms=chain.expiries[e].expiry_ms,
        forward=forward,
        strike=table.strike[rows],
        is_call=table.is_call[rows],
        k=k,
        bid_vol=bid_vol,
        ask_vol=ask_vol,
        mid_vol=0.5 * (bid_vol + ask_vol),
        model_vol=model_vol,
        used=used[rows],
        dropped=tuple(
            DroppedQuote(float(table.strike[row]), bool(table.is_call[row]), reason)
            for row in every.tolist()
            if (reason := quotes.verdicts.reason(row))
        ),
    )


def _shown(quotes: ReadQuotes, used: BoolArray, every: IntArray, forward: float) -> IntArray:
    """Return the rows that may be shown: out of the money, one a strike, with a forward to place them by."""
    table = quotes.table
    strike, is_call = table.strike[every], table.is_call[every]
    out_of_the_money = np.where(is_call, strike > forward, strike < forward)
    placed = table.first[every] & table.countable[every] & (quotes.forwards.row_value[every] > 0.0)
    return every[placed & (out_of_the_money | used[every])]
