"""Other libraries doing the same work, each called as its users call it. Installed for the bench alone."""

import numpy as np
import QuantLib as ql  # noqa: N813
from fast_vollib.jackel import jackel_iv_black
from pysabr import Hagan2002LognormalSABR
from scipy.optimize import least_squares

from app.quant.arrays import FloatArray
from app.quant.smile import Smile

Quotes = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
"""Undiscounted price, forward, strike, t, is_call of a run of quotes."""


def quantlib_implied_vols(quotes: Quotes) -> list[float]:
    """Black vols one by one, to the accuracy our own have."""
    return [
        ql.blackFormulaImpliedStdDev(
            ql.Option.Call if call else ql.Option.Put, strike, forward, price, 1.0, 0.0, 0.5 * t**0.5, 1e-13, 200
        )
        / t**0.5
        for price, forward, strike, t, call in zip(*(a.tolist() for a in quotes), strict=True)
    ]


def fast_vollib_implied_vols(quotes: Quotes) -> FloatArray:
    """Let's Be Rational in numba, a batch at a time."""
    price, forward, strike, t, is_call = quotes
    return np.asarray(jackel_iv_black(price, forward, strike, t, is_call > 0.0))


def quantlib_svi_vols(smiles: list[Smile]) -> list[FloatArray]:
    """Unconstrained SVI slices with QuantLib's own defaults; model vols at the quotes."""
    today = ql.Date(1, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    fitted = []
    for smile in smiles:
        at_the_money = float(np.interp(0.0, smile.k, smile.mid_vol))
        days = max(1, round(smile.t * 365))
        section = ql.SviInterpolatedSmileSection(
            today + days,
            smile.forward,
            (smile.forward * np.exp(smile.k)).tolist(),
            False,
            at_the_money,
            (smile.mid_vol * np.sqrt(smile.t * 365 / days)).tolist(),
            *(0.04 * smile.t, 0.1, 0.1, -0.4, 0.0),
            *([False] * 5),
            False,
        )
        strikes = (smile.forward * np.exp(smile.k)).tolist()
        fitted.append(np.array([section.volatility(k) for k in strikes]) / np.sqrt(smile.t * 365 / days))
    return fitted


def scipy_svi_vols(smiles: list[Smile]) -> list[FloatArray]:
    """Unconstrained SVI slices by MINPACK with finite differences, unweighted in vol."""
    fitted = []
    for smile in smiles:
        w = smile.mid_vol**2 * smile.t

        def model(x: FloatArray, k: FloatArray = smile.k) -> FloatArray:
            a, b, rho, m, sigma = x
            return np.asarray(a + b * (np.tanh(rho) * (k - m) + np.hypot(k - m, sigma)))

        def residual(x: FloatArray, smile: Smile = smile, model: object = model) -> FloatArray:
            w = model(x)  # type: ignore[operator]
            return np.asarray(np.sqrt(np.maximum(w, 1e-12) / smile.t) - smile.mid_vol)

        spread = float(np.ptp(smile.k))
        start = np.array([0.5 * w.min(), 0.5 * float(np.ptp(w)) / spread + 1e-4, -0.2, 0.0, 0.2 * spread])
        x = least_squares(residual, start, method="lm").x
        fitted.append(np.sqrt(np.maximum(model(x), 1e-12) / smile.t))
    return fitted


def pysabr_fit(smile: Smile) -> object:
    """One lognormal SABR slice, beta 1."""
    model = Hagan2002LognormalSABR(f=smile.forward, shift=0.0, t=smile.t, beta=1.0)
    return model.fit(smile.strike, 100.0 * smile.mid_vol, [float(np.median(smile.mid_vol)), 0.0, 1.0])
