"""How well a surface foretold the chain after it: proper scores of the quotes that came, and their running means.

What is scored is the surface as it stood, carried along with the forward (innovations.py), never one that has seen the
quotes. All surfaces of a comparison are scored on the same quotes: of the expiries that each of them had, and without
the quotes that none of them and no neighbour confirms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray
from app.quant.confirmation import unconfirmed
from app.quant.gate import widening_since
from app.quant.innovations import Innovations, innovations_of
from app.quant.smile import Smile
from app.quant.surface import VolSurface
from app.quant.vol_band import DEVIATIONS

WINDOW: Final = 256
"""Scores that a running mean remembers: 21 hours of 5-minute chains, long enough for a test and short enough to see
that the market has changed."""


@dataclass(frozen=True, slots=True)
class Score:
    """One surface against the ``quotes`` of one chain.

    ``log_score`` is the mean log density of a mid vol, in nats per vol, more is better; ``weighted_error`` the mean of
    |mid vol - vol| over the quote's spread, weighted by vega; ``rmse_vol`` unweighted, a decimal; ``outside`` the share
    of quotes whose bid and ask vol do not hold the vol; ``arbitrage_free`` what the surface's certificate says.
    """

    quotes: int
    log_score: float
    weighted_error: float
    rmse_vol: float
    outside: float
    arbitrage_free: bool


@dataclass(frozen=True, slots=True)
class MeanScore:
    """Means over ``n`` scores, from WINDOW on exponential ones; ``arbitrage_free`` is a share."""

    n: int = 0
    log_score: float = 0.0
    weighted_error: float = 0.0
    rmse_vol: float = 0.0
    outside: float = 0.0
    arbitrage_free: float = 0.0

    def after(self, score: Score) -> "MeanScore":
        """Return the means with one more score."""
        n = self.n + 1
        gain = 1.0 / min(n, WINDOW)

        def moved(mean: float, value: float) -> float:
            return mean + gain * (value - mean)

        return MeanScore(
            n=n,
            log_score=moved(self.log_score, score.log_score),
            weighted_error=moved(self.weighted_error, score.weighted_error),
            rmse_vol=moved(self.rmse_vol, score.rmse_vol),
            outside=moved(self.outside, score.outside),
            arbitrage_free=moved(self.arbitrage_free, float(score.arbitrage_free)),
        )


def score_surfaces(
    smiles: Sequence[Smile], surfaces: Sequence[VolSurface], arbitrage_free: Sequence[bool], as_of_ms: int
) -> tuple[Score, ...] | None:
    """Return the scores of ``surfaces``, all on the same quotes of ``smiles``, which were read at ``as_of_ms``.

    A surface without bars of its own is lent those of the first one, so that its vols alone are compared. None where
    they have no quote in common.
    """
    shared = set.intersection(*({s.expiry_ms for s in surface.slices} for surface in surfaces))
    common = [smile for smile in smiles if smile.expiry_ms in shared]
    if not common:
        return None
    own = [innovations_of(common, surface) for surface in surfaces]
    barred = [_lent(each, own[0]) for each in own]
    widenings = [widening_since(surface, as_of_ms) for surface in surfaces]
    doubted = np.logical_and.reduce([unconfirmed(each, w) for each, w in zip(barred, widenings, strict=True)])
    if doubted.all():
        return None
    return tuple(_score(each, ~doubted, free) for each, free in zip(barred, arbitrage_free, strict=True))


def log_density(error: FloatArray, half_width: FloatArray, noise: FloatArray) -> FloatArray:
    """Return ln N(error; 0, sd^2 + noise^2), sd = half_width / DEVIATIONS, or 0 where no bar is known (NaN)."""
    sd = np.where(np.isnan(half_width), 0.0, half_width) / DEVIATIONS
    variance = sd**2 + noise**2
    density: FloatArray = -0.5 * (np.log(2.0 * np.pi * variance) + error**2 / variance)
    return density


def _score(innovations: Innovations, kept: BoolArray, arbitrage_free: bool) -> Score:
    error, half_spread = innovations.error[kept], innovations.half_spread[kept]
    vega = _vega(innovations)[kept]
    return Score(
        quotes=int(error.shape[0]),
        log_score=float(log_density(error, innovations.half_width[kept], innovations.noise[kept]).mean()),
        weighted_error=float(vega @ (np.abs(error) / (2.0 * half_spread)) / vega.sum()),
        rmse_vol=float(np.sqrt(np.mean(error**2))),
        outside=float(np.mean(np.abs(error) > half_spread)),
        arbitrage_free=arbitrage_free,
    )


def _vega(innovations: Innovations) -> FloatArray:
    """Return vegas over the forward: sqrt(t) phi(d1) at the vols that stood."""
    t = innovations.t[innovations.slice]
    deviation = innovations.vol * np.sqrt(t)
    d1 = -innovations.k / deviation + 0.5 * deviation
    vega: FloatArray = np.sqrt(t) * np.exp(-0.5 * d1**2)
    return vega


def _lent(innovations: Innovations, lender: Innovations) -> Innovations:
    width = innovations.half_width
    return replace(innovations, half_width=np.where(np.isnan(width), lender.half_width, width))
