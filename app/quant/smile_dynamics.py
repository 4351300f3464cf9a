"""Greeks that let the smile move with the forward.

The smile, as a function of log-strike, is carried along by a share 1 - R of the forward's move:

    vol(K; F) = smile(ln(K/F0) - (1 - R) ln(F/F0))

R = 1 leaves the vol of each strike (sticky strike), R = 0 that of each log-moneyness (sticky moneyness, or sticky
delta). At the money d vol/d ln F = R d vol/d ln K: R is the skew stickiness ratio (Bergomi, Stochastic Volatility
Modeling, 2016, section 9.1). With s = 1 - R, and the derivatives of the smile by k = ln(K/F) written vol' and vol'':

    dvol/dF  = -s vol'/F            d2vol/dF2 = (s^2 vol'' + s vol')/F^2
    delta   += vega dvol/dF         gamma     += 2 vanna dvol/dF + volga (dvol/dF)^2 + vega d2vol/dF2
    vanna   += volga dvol/dF        (delta per parallel move of the smile)
"""

from dataclasses import replace
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.black import BlackGreeks
from app.quant.surface import VolSurface

STICKY_STRIKE: Final = 1.0
STICKY_MONEYNESS: Final = 0.0

STEP: Final = 1e-4
"""Of the central differences in log-moneyness: 1e-8 of error from the curve's third derivative and from rounding."""


def smile_derivatives(surface: VolSurface, k: FloatArray, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return d vol/dk and d2 vol/dk2 at log-moneyness ``k`` (n,) of maturities ``t`` (n,) in years."""
    below, here, above = (np.sqrt(surface.total_variances(k + step, t)[0] / t) for step in (-STEP, 0.0, STEP))
    return (above - below) / (2.0 * STEP), (above - 2.0 * here + below) / STEP**2


def greeks_with_smile(
    greeks: BlackGreeks, forward: FloatArray, slope: FloatArray, curvature: FloatArray, *, stickiness: float
) -> BlackGreeks:
    """Return ``greeks`` with the smile moving as ``stickiness`` (R above) says; all arrays of one shape.

    ``slope`` and ``curvature`` are :func:`smile_derivatives`. Vega, theta and volga are those of the point.
    """
    follows = 1.0 - stickiness
    by_forward = -follows * slope / forward
    twice = (follows**2 * curvature + follows * slope) / forward**2
    shift = greeks.vega * by_forward
    return replace(
        greeks,
        delta=greeks.delta + shift,
        delta_net=greeks.delta_net + shift,
        gamma=greeks.gamma + 2.0 * greeks.vanna * by_forward + greeks.volga * by_forward**2 + greeks.vega * twice,
        vanna=greeks.vanna + greeks.volga * by_forward,
    )
