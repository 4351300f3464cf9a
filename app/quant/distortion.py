"""What bad input does to a smile and no market does: a step at the money of a wrong forward, a cusp of wrong premiums.

Read at a forward that is too high by d in ln F, a call z deviations from the money loses M(|z|) d / sqrt(t) of its vol,
M the Mills ratio, and a put gains as much: a step of sqrt(2 pi) d / sqrt(t) at the money, which parity sees last, as
options in the money have wide spreads. Premiums that are all dearer by f in ln raise a vol by vol (1 - |z| M(|z|)) f,
the middle of a smile and not its wings, with a cusp between. Which currency they are in changes the smooth part alone.

The innovations of an expiry's mids are explained by a level, a skew and one of the two by weighted least squares, the
variance scaled up, never down, by the mean square of what is left. There is a second witness of either: how far the
forward moved apart from the others, and how far the middle of the smile did from those of its neighbours. The mean of
both, by inverse variance, is compared with its own standard deviation.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.lone_expiry import NEAR_THE_MONEY, LoneMoves
from app.quant.mills_ratio import mills_ratio
from app.quant.vol_band import DEVIATIONS

CARRY_SD: Final = 0.0025
"""Sd of a forward's move apart from the others', ln per root of five minutes: what one in a hundred of a day with
inflation figures reached, for carry moves by little most of the time and by much sometimes."""
MIDDLE: Final = 0.65
"""Median of 1 - |z| M(|z|) over the deviations that are near the money: what premiums off move there, of the most."""
LEAST_QUOTES: Final = 6
"""Twice as many as are fitted to them."""
LEAST_LEFT: Final = 1e-9
"""Share of a distortion's square that level and skew must leave: of puts or calls alone they leave little."""


class Cause(IntEnum):
    """What is wrong by a constant, in ln, for all quotes of an expiry."""

    FORWARD = 0
    PREMIUMS = 1


@dataclass(frozen=True, slots=True)
class Distortion:
    """``off``, ln, is by how much the cause is too high, ``deviations`` how many sds of it that is, and ``half_widths``
    by how many of the bars it moves the vol of the quote that it moves most."""

    cause: Cause
    t: float
    off: float
    deviations: float
    half_widths: float

    def __str__(self) -> str:
        whose = "forward: that" if self.cause is Cause.FORWARD else "premiums: those"
        return (
            f"{whose} of {self.t * 365.0:.1f} days {100.0 * abs(math.expm1(self.off)):.2g} % too"
            f" {'high' if self.off > 0.0 else 'low'}, as the shape of the smile has it ({self.deviations:.1f} standard"
            f" deviations): vols off by up to {self.half_widths:.1f} half-widths of their bars"
        )


def worst_distortion(lone: LoneMoves, carry: FloatArray, widening: float, reach: float) -> Distortion | None:
    """Return what is off by most sds, of all that moves a vol by more than its bar; None if there is none.

    Quotes within ``reach`` deviations are asked, the innovations of ``lone``; ``carry`` is by how much each forward
    moved apart from the others, ln, NaN where that is not known; ``widening`` is the factor on the bars for the time
    since the surface.
    """
    innovations = lone.innovations
    off, precision, slope = np.zeros((3, len(Cause), len(innovations.expiries)))
    smile_distortions(
        innovations.bounds(),
        innovations.deviations,
        innovations.vol,
        innovations.error,
        innovations.noise,
        innovations.half_width,
        innovations.t,
        reach,
        off,
        precision,
        slope,
    )
    slope /= widening
    middle = MIDDLE * np.where(precision[Cause.PREMIUMS] > 0.0, slope[Cause.PREMIUMS], np.nan)
    apart = lone.half_widths[:, NEAR_THE_MONEY]
    _hear(off[Cause.FORWARD], precision[Cause.FORWARD], carry, np.full(carry.shape, (CARRY_SD * widening) ** -2.0))
    _hear(off[Cause.PREMIUMS], precision[Cause.PREMIUMS], apart / middle, (DEVIATIONS * middle) ** 2.0)
    half_widths = np.abs(off) * slope
    deviations = np.where(half_widths > 1.0, np.abs(off) * np.sqrt(precision), 0.0)
    if not deviations.any():
        return None
    cause, i = divmod(int(deviations.argmax()), deviations.shape[1])
    numbers = (float(each[cause, i]) for each in (off, deviations, half_widths))
    return Distortion(Cause(cause), float(innovations.t[i]), *numbers)


def _hear(off: FloatArray, precision: FloatArray, told: FloatArray, precision_told: FloatArray) -> None:
    """Add what a second witness of ``off`` tells, wherever there are two."""
    two = np.flatnonzero((precision > 0.0) & np.isfinite(told))
    both = precision[two] + precision_told[two]
    off[two] += (told[two] - off[two]) * precision_told[two] / both
    precision[two] = both


@kernel
def smile_distortions(
    bounds: IntArray,
    deviations: FloatArray,
    vol: FloatArray,
    error: FloatArray,
    noise: FloatArray,
    half_width: FloatArray,
    t: FloatArray,
    reach: float,
    off: FloatArray,
    precision: FloatArray,
    slope: FloatArray,
) -> None:
    """Write how far each cause (row) is off in each expiry, its inverse variance, and the half-widths a vol moves by.

    Expiry e has the quotes ``bounds[e]:bounds[e + 1]``; those with a bar within ``reach`` deviations are looked at.
    ``slope`` is the most half-widths for each 1 of ln. Nothing is written where quotes are too few or on one side only.
    """
    for e in range(t.shape[0]):
        for cause in range(off.shape[0]):
            n, steepest = 0, 0.0
            w, wz, wzz, wg, wzg, wgg = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            wy, wzy, wgy, wyy = 0.0, 0.0, 0.0, 0.0
            for j in range(bounds[e], bounds[e + 1]):
                z, y = deviations[j], error[j]
                if abs(z) > reach or not half_width[j] > 0.0:
                    continue
                ratio, weight = mills_ratio(abs(z)), 1.0 / (noise[j] * noise[j])
                g = math.copysign(ratio, -z) / math.sqrt(t[e]) if cause == 0 else vol[j] * (1.0 - abs(z) * ratio)
                n, steepest = n + 1, max(steepest, abs(g) / half_width[j])
                w, wz, wzz = w + weight, wz + weight * z, wzz + weight * z * z
                wg, wzg, wgg = wg + weight * g, wzg + weight * z * g, wgg + weight * g * g
                wy, wzy, wgy, wyy = wy + weight * y, wzy + weight * z * y, wgy + weight * g * y, wyy + weight * y * y
            determinant = w * wzz - wz * wz
            if n < LEAST_QUOTES or determinant <= 0.0:
                continue
            # What level and skew leave of the distortion and of the innovations.
            level, skew = (wzz * wg - wz * wzg) / determinant, (w * wzg - wz * wg) / determinant
            left = wgg - level * wg - skew * wzg
            if left <= LEAST_LEFT * wgg:
                continue
            told = wgy - level * wy - skew * wzy
            level, skew = (wzz * wy - wz * wzy) / determinant, (w * wzy - wz * wy) / determinant
            unexplained = wyy - level * wy - skew * wzy - told * told / left
            off[cause, e] = told / left
            precision[cause, e] = left / max(1.0, unexplained / (n - 3))
            slope[cause, e] = steepest
