"""The forward and the discount factor of each expiry at ``as_of``, and of each quote at its own time."""

from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray
from app.quant.chain import OptionChain, Premium
from app.quant.forward_evidence import MOVE_VOL, ForwardEvidence, Source, forward_evidence
from app.quant.parity_check import ParityCheck
from app.quant.quote_table import QuoteTable, quote_table
from app.quant.rate_curve import RATE_PRIOR_SD, bridge
from app.quant.robust_mean import believed, weighted_mean
from app.quant.year_fraction import MS_PER_YEAR

DISPUTED_INFLATION: Final = 3.0
"""Factor on the sd where some source was outvoted: one of the witnesses is wrong, perhaps not the one we think."""
MAX_FORWARD_SD: Final = 0.01
"""Relative sd beyond which a forward is not known: 1 % moves an at-the-money month by a quarter of its sd."""

SENT: Final = np.array([source is not Source.PARITY for source in Source])
"""Sources that repeat what the venue sent."""
OF_THE_QUOTE: Final = np.array([source in (Source.PARITY, Source.QUOTED) for source in Source])
"""Sources that speak of the time of the quotes; the others speak of ``as_of``."""
_SOURCE_NAMES: Final = tuple(source.name.lower() for source in Source)


@dataclass(frozen=True, slots=True)
class Forward:
    """The forward of one expiry at ``as_of``; ``sd`` is one standard deviation in its units.

    ``sources`` names who was believed: "future", "parity", "quoted", "interpolated".
    """

    value: float
    sd: float
    discount_factor: float
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ChainForwards:
    """Forwards of all expiries (NaN: not known) and of all rows of a table.

    ``value``, ``sd``, ``discount_factor`` have one entry an expiry and hold at ``as_of``; ``believed`` is expiries x
    sources. ``row_value`` and ``row_sd`` have one entry a quote and hold at the quote's own time; ``row_stale`` marks
    quotes whose own forward contradicts the others of its expiry. ``parity`` has one entry an expiry.
    """

    value: FloatArray
    sd: FloatArray
    discount_factor: FloatArray
    believed: BoolArray
    row_value: FloatArray
    row_sd: FloatArray
    row_stale: BoolArray
    parity: tuple[ParityCheck, ...]

    def forward(self, expiry: int) -> Forward | None:
        """Return the forward of the expiry with this index, None where it is not known."""
        if np.isnan(self.value[expiry]):
            return None
        sources = tuple(compress(_SOURCE_NAMES, self.believed[expiry].tolist()))
        return Forward(float(self.value[expiry]), float(self.sd[expiry]), float(self.discount_factor[expiry]), sources)


def infer_forwards(chain: OptionChain) -> tuple[Forward | None, ...]:
    """Return the forward of each expiry of ``chain``, in its order; None where nothing tells it.

    Expired expiries have none. An inverse chain has discount factor 1 (the coin carries no rate); a linear one gets it
    from parity, drawn to its neighbours' rates, and without any parity to a rate of 0. An expiry of which no source
    speaks lies between the others.
    """
    forwards = table_forwards(chain, quote_table(chain))
    return tuple(forwards.forward(e) for e in range(len(chain.expiries)))


def table_forwards(chain: OptionChain, table: QuoteTable) -> ChainForwards:
    """Return the forwards of all expiries and rows of ``table``, which is the table of ``chain``."""
    evidence = forward_evidence(chain, table)
    value, sd = evidence.value, evidence.sd
    moved = MOVE_VOL * np.sqrt(np.maximum(evidence.age_ms, 0.0) / MS_PER_YEAR)
    elsewhen = np.hypot(sd, moved[:, None])
    at_quote, at_as_of = np.where(OF_THE_QUOTE, sd, elsewhen), np.where(OF_THE_QUOTE, elsewhen, sd)
    credible = believed(value, at_quote, evidence.slack, evidence.votes)
    # Parity judges a quoted forward but does not move it: the venue's own vols are taken at that forward, and an
    # average with parity's tick-sized noise would only tilt puts against calls.
    speaking = credible.copy()
    speaking[:, Source.PARITY] &= ~credible[:, Source.QUOTED]
    outvoted = ~np.isnan(value) & ~credible
    disputed = np.where(outvoted.any(axis=1), DISPUTED_INFLATION, 1.0)
    ratio, ratio_sd = weighted_mean(value, at_quote, speaking)
    now, now_sd = weighted_mean(value, at_as_of, speaking)
    ratio_sd, now_sd = ratio_sd * disputed, now_sd * disputed
    alive = table.t > 0.0
    between = _between(table.t, np.log(evidence.anchor), now, now_sd, alive & (now_sd <= MAX_FORWARD_SD))
    credible[between, Source.INTERPOLATED] = True
    known = alive & (now_sd <= MAX_FORWARD_SD)
    forward, scale = np.full(known.size, np.nan), np.full(known.size, np.nan)
    forward[known] = evidence.anchor[known] * np.exp(now[known])
    scale[known] = np.exp(ratio[known])
    row_value = forward[table.expiry]
    np.multiply(table.forward, scale[table.expiry], out=row_value, where=evidence.row_own)
    row_sd = np.where(evidence.row_own, ratio_sd[table.expiry], now_sd[table.expiry]) * row_value
    return ChainForwards(
        value=forward,
        sd=np.where(known, now_sd, np.nan) * forward,
        discount_factor=evidence.discount_factor,
        believed=credible & known[:, None],
        row_value=row_value,
        row_sd=row_sd,
        row_stale=evidence.row_stale,
        parity=_parity_checks(
            chain,
            table,
            evidence,
            outvoted=_furthest(value - ratio[:, None], outvoted & SENT),
            overruled=_furthest(value - ratio[:, None], outvoted & ~SENT),
        ),
    )


def _furthest(apart: FloatArray, told: BoolArray) -> FloatArray:
    """Return the largest distance of each row among those that are told, 0 of none."""
    distance: FloatArray = np.where(told, np.abs(apart), 0.0).max(axis=1)
    return distance


def _parity_checks(
    chain: OptionChain, table: QuoteTable, evidence: ForwardEvidence, *, outvoted: FloatArray, overruled: FloatArray
) -> tuple[ParityCheck, ...]:
    rate_sd = 0.0 if chain.premium is Premium.COIN else RATE_PRIOR_SD
    columns = (
        table.t.tolist(),
        evidence.strikes.tolist(),
        evidence.reconciled.tolist(),
        evidence.slope.tolist(),
        evidence.slope_sd.tolist(),
        [rate_sd] * table.t.size,
        outvoted.tolist(),
        evidence.low.tolist(),
        evidence.high.tolist(),
        overruled.tolist(),
    )
    return tuple(ParityCheck(*each) for each in zip(*columns, strict=True))


def _between(
    t: FloatArray, log_anchor: FloatArray, ratio: FloatArray, ratio_sd: FloatArray, known: BoolArray
) -> BoolArray:
    """Fill in, from the known forwards of other expiries, those of which no source speaks; return which."""
    silent = (t > 0.0) & np.isnan(ratio)
    if silent.any() and known.any():
        pillars = log_anchor[known] + ratio[known]
        log_forward, ratio_sd[silent] = bridge(t[known], pillars, ratio_sd[known], t[silent])
        ratio[silent] = log_forward - log_anchor[silent]
    return silent
