"""What each source says of the forward of each expiry, and how well it knows.

Sources are compared as log-ratios to an anchor, the newest forward quoted with the options where there is one: the
expiry's future, the forward quoted with each option, put-call parity, and interpolation between futures.
"""

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.chain import OptionChain, Premium
from app.quant.compiled import kernel
from app.quant.parity import ParityLines, parity_lines
from app.quant.quote_noise import HALF_SPREADS_PER_SD
from app.quant.quote_table import LARGEST_NUMBER, QuoteTable
from app.quant.rate_curve import RATE_PRIOR_SD, bridge, pooled_rate
from app.quant.robust_mean import newest_median
from app.quant.year_fraction import MS_PER_YEAR, year_fraction

QUOTED_SD: Final = 1e-4
"""Relative sd of a quoted forward at its own time: a tick or two of the future it is marked from."""
FUTURE_SD_FLOOR: Final = 2e-5
"""Relative sd a future's mid never goes below: the tick of the busiest ones (2.5 on 60,000)."""
PARITY_SD_FLOOR: Final = 5e-5
"""Relative sd parity never goes below: errors of neighbouring strikes move together, n of them are not n witnesses."""
STALE_SIGMAS: Final = 6.0
"""A quoted forward this many sds from its expiry's newest is not of the same market."""
JITTER_SD: Final = 2e-4
"""Relative sd between quoted forwards of one moment: they are taken from marks that tick apart."""
CONVINCING_PAIRS: Final = 5
"""Strikes inside one parity cone that outweigh a single other source: five independent books rarely err together."""
MOVE_VOL: Final = 0.8
"""Annual vol at which a forward is taken to wander between a quote and ``as_of``; a busy day of a crypto underlying."""


class Source(IntEnum):
    """Who says what the forward is; the order is the order of the columns of evidence."""

    FUTURE = 0
    PARITY = 1
    QUOTED = 2
    INTERPOLATED = 3


@dataclass(frozen=True, slots=True, eq=False)
class ForwardEvidence:
    """Evidence on all expiries of a chain.

    ``value``, ``sd``, ``slack``, ``votes`` are expiries x sources, as ln(forward / anchor); NaN in ``value``: the
    source is silent. Parity has half its cone as slack, as no trade contradicts a forward inside it. ``anchor``,
    ``age_ms`` (of what parity and quotes say) and ``discount_factor`` have one entry an expiry. ``row_own`` marks
    quotes that carry a forward, ``row_stale`` those whose forward contradicts the newest of its expiry. ``strikes``
    counts those with a two-sided put and call, ``reconciled`` those of them that leave a forward no trade contradicts;
    ``slope`` is by how much call less put falls with the strike there; ``low`` and ``high`` are the bounds that they
    set to the forward, NaN where they set none.
    """

    value: FloatArray
    sd: FloatArray
    slack: FloatArray
    votes: FloatArray
    anchor: FloatArray
    age_ms: FloatArray
    discount_factor: FloatArray
    row_own: BoolArray
    row_stale: BoolArray
    strikes: IntArray
    reconciled: IntArray
    slope: FloatArray
    slope_sd: FloatArray
    low: FloatArray
    high: FloatArray


def forward_evidence(chain: OptionChain, table: QuoteTable) -> ForwardEvidence:
    """Hear every source on every expiry of ``chain``, whose table is ``table``."""
    row_own = (table.forward > 0.0) & table.countable & table.first
    quoted, quoted_age, row_stale = _quoted(table, row_own)
    pairs = _pairs(table, table.two_sided & ~row_stale)
    anchor, age_ms = _anchor(table, pairs, quoted, quoted_age)
    lines = _parity(chain, table, pairs, anchor, row_own)
    shape = (table.t.size, len(Source))
    value, sd, slack, votes = np.full(shape, np.nan), np.ones(shape), np.zeros(shape), np.ones(shape)
    value[np.isfinite(quoted), Source.QUOTED] = 0.0
    sd[:, Source.QUOTED] = QUOTED_SD
    fitted = ~np.isnan(lines.forward)
    value[:, Source.PARITY] = np.log(lines.forward)
    sd[fitted, Source.PARITY] = np.hypot(lines.forward_sd[fitted] / lines.forward[fitted], PARITY_SD_FLOOR)
    slack[fitted, Source.PARITY] = 0.5 * np.log(lines.cone_high[fitted] / lines.cone_low[fitted])
    votes[lines.pairs >= CONVINCING_PAIRS, Source.PARITY] = 2.0
    _hear_futures(chain, table, np.log(anchor), value, sd)
    return ForwardEvidence(
        value=value,
        sd=sd,
        slack=slack,
        votes=votes,
        anchor=anchor,
        age_ms=age_ms,
        discount_factor=lines.discount_factor,
        row_own=row_own,
        row_stale=row_stale,
        strikes=np.bincount(table.expiry[pairs[0]], minlength=table.t.size),
        reconciled=lines.pairs,
        slope=lines.slope,
        slope_sd=lines.slope_sd,
        low=lines.cone_low * anchor,
        high=lines.cone_high * anchor,
    )


def _quoted(table: QuoteTable, has: BoolArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return each expiry's newest quoted forward, its age in ms, and the rows that contradict it."""
    quoted, age = newest_median(table.expiry, table.start.size - 1, table.age_ms, table.forward, has)
    stale = np.zeros(len(table), dtype=np.bool_)
    mark_stale(table.expiry, table.age_ms, table.forward, has, quoted, age, stale)
    return quoted, age, stale


@kernel
def mark_stale(
    expiry: IntArray,
    age_ms: FloatArray,
    forward: FloatArray,
    has: BoolArray,
    quoted: FloatArray,
    quoted_age_ms: FloatArray,
    stale: BoolArray,
) -> None:
    """Mark the rows whose forward is further from their expiry's newest than a market moves between the two."""
    for i in range(expiry.shape[0]):
        if has[i]:
            apart = abs(age_ms[i] - quoted_age_ms[expiry[i]]) / MS_PER_YEAR
            tolerance = STALE_SIGMAS * math.sqrt(JITTER_SD**2 + MOVE_VOL**2 * apart)
            stale[i] = abs(math.log(forward[i] / quoted[expiry[i]])) > tolerance


def _pairs(table: QuoteTable, usable: BoolArray) -> tuple[IntArray, IntArray]:
    """Return the rows (put, call) of every strike of a living expiry that has both, two-sided."""
    rows = np.flatnonzero(usable & (table.t > 0.0)[table.expiry])
    put, call = rows[:-1], rows[1:]
    pair = (
        (table.expiry[put] == table.expiry[call])
        & (table.strike[put] == table.strike[call])
        & ~table.is_call[put]
        & table.is_call[call]
    )
    return put[pair], call[pair]


def _anchor(
    table: QuoteTable, pairs: tuple[IntArray, IntArray], quoted: FloatArray, quoted_age: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the value each expiry's ratios are taken to, and the age in ms of what parity and quotes say of it.

    Without a quoted forward it is the middle strike: parity is exact around any value, only rounding cares.
    """
    expiries = table.start.size - 1
    middle = np.minimum((table.start[:-1] + table.start[1:]) // 2, max(len(table) - 1, 0))
    strike = np.where(table.countable[middle], table.strike[middle], 1.0) if len(table) else np.ones(expiries)
    both = np.concatenate(pairs)
    count = np.bincount(table.expiry[both], minlength=expiries)
    age = np.bincount(table.expiry[both], table.age_ms[both], minlength=expiries) / np.maximum(count, 1)
    known = np.isfinite(quoted)
    return np.where(known, quoted, strike), np.where(known, quoted_age, age)


def _parity(
    chain: OptionChain, table: QuoteTable, pairs: tuple[IntArray, IntArray], anchor: FloatArray, row_own: BoolArray
) -> ParityLines:
    """Fit parity of each expiry in units of the forward at each pair's own time; ``forward`` is the ratio to anchor.

    In those units x = strike/forward, and c_call - c_put = D (1 - x/r) for inverse premiums, D (r - x) for linear ones.
    """
    put, call = pairs
    unit = np.where(row_own, table.forward, anchor[table.expiry])
    unit_put, unit_call = unit[put], unit[call]
    coin = chain.premium is Premium.COIN
    scale_put, scale_call = (1.0, 1.0) if coin else (unit_put, unit_call)
    # Two legs quoted at different forwards: at most the whole difference sits in one of them.
    both = unit_put + unit_call
    apart = np.abs(unit_put - unit_call) / both
    low = table.bid[call] / scale_call - table.ask[put] / scale_put - apart
    high = table.ask[call] / scale_call - table.bid[put] / scale_put + apart
    x = 2.0 * table.strike[put] / both
    start = np.searchsorted(table.expiry[put], np.arange(table.start.size))
    t = np.maximum(table.t, 0.0)
    return _inverse_lines(start, x, low, high, t) if coin else _linear_lines(start, x, low, high, t)


def _inverse_lines(start: IntArray, x: FloatArray, low: FloatArray, high: FloatArray, t: FloatArray) -> ParityLines:
    """Fit 1 - x/r with discount factor 1, as the linear form 1/r - 1/x: the same options in the other currency."""
    one = np.ones(t.size)
    lines = parity_lines(
        start,
        1.0 / x,
        -high / x,
        -low / x,
        half_spreads_per_sd=HALF_SPREADS_PER_SD,
        discount_prior=one,
        discount_prior_sd=0.0 * one,
    )
    return replace(
        lines,
        discount_factor=one,
        forward=1.0 / lines.forward,
        forward_sd=lines.forward_sd / lines.forward**2,
        cone_low=1.0 / lines.cone_high,
        cone_high=1.0 / lines.cone_low,
    )


def _linear_lines(start: IntArray, x: FloatArray, low: FloatArray, high: FloatArray, t: FloatArray) -> ParityLines:
    """Fit D (r - x) twice: alone, then with each D drawn to the rate that the other expiries suggest."""

    def fit(prior: FloatArray, prior_sd: FloatArray) -> ParityLines:
        return parity_lines(
            start,
            x,
            low,
            high,
            half_spreads_per_sd=HALF_SPREADS_PER_SD,
            discount_prior=prior,
            discount_prior_sd=prior_sd,
        )

    alone = fit(np.ones(t.size), RATE_PRIOR_SD * t)
    year = np.where(t > 0.0, t, 1.0)
    discount = alone.discount_factor
    rate, rate_sd = pooled_rate(t, -np.log(discount) / year, alone.discount_factor_sd / (discount * year))
    prior = np.exp(-rate * t)
    lines = fit(prior, prior * rate_sd * t)
    return replace(lines, discount_factor=np.where(np.isnan(lines.discount_factor), prior, lines.discount_factor))


def _hear_futures(
    chain: OptionChain, table: QuoteTable, log_anchor: FloatArray, value: FloatArray, sd: FloatArray
) -> None:
    """Write what futures say into ``value`` and ``sd``: their own expiry, and interpolated between them."""
    future_t, future_log, future_sd, future_ms = _futures(chain)
    if future_t.size == 0:
        return
    expiry_ms = np.array([e.expiry_ms for e in chain.expiries], dtype=np.int64)
    slot = np.minimum(np.searchsorted(future_ms, expiry_ms), future_ms.size - 1)
    listed = future_ms[slot] == expiry_ms
    value[listed, Source.FUTURE] = future_log[slot[listed]] - log_anchor[listed]
    sd[listed, Source.FUTURE] = future_sd[slot[listed]]
    between = ~listed & (table.t > 0.0)
    log_forward, log_sd = bridge(future_t, future_log, future_sd, table.t[between])
    value[between, Source.INTERPOLATED] = log_forward - log_anchor[between]
    sd[between, Source.INTERPOLATED] = log_sd


def _futures(chain: OptionChain) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Return (t, ln mid, sd of ln mid, expiry_ms), t ascending, of the living two-sided futures, one an expiry."""
    two_sided = {
        f.expiry_ms: f
        for f in chain.futures
        if f.expiry_ms > chain.as_of_ms and 1.0 / LARGEST_NUMBER <= f.bid <= f.ask <= LARGEST_NUMBER
    }
    futures = [two_sided[ms] for ms in sorted(two_sided)]
    bid, ask = np.array([f.bid for f in futures]), np.array([f.ask for f in futures])
    middle = 0.5 * bid + 0.5 * ask
    # A mid anywhere between bid and ask with equal chance has the sd of a uniform.
    sd = np.hypot((ask - bid) / np.sqrt(12.0) / middle, FUTURE_SD_FLOOR) if futures else middle
    t = np.array([year_fraction(chain.as_of_ms, f.expiry_ms) for f in futures])
    return t, np.log(middle), sd, np.array([f.expiry_ms for f in futures], dtype=np.int64)
