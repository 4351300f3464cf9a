"""No arbitrage between, before and beyond expiries; what holds exactly at and around them."""

from dataclasses import replace
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.arrays import FloatArray
from app.quant.black import otm_price
from app.quant.errors import InvalidParameters, InvalidQuery
from app.quant.extrapolation import SMALLEST_RATE, forward_variance_rate
from app.quant.interpolation import (
    SAME_MATURITY,
    Position,
    find_places,
    interpolated_variance,
    interpolated_variances,
    variances_of_rows,
)
from app.quant.models.base import SliceState
from app.quant.models.svi_curve import SviCurve
from app.quant.slice_variance import StackedSlices
from tests.quant.published_surfaces import btc_surface, slices_of, ssvi

SURFACE = btc_surface()
MATURITIES = [s.t for s in SURFACE]
AT_THE_MONEY = np.zeros(1)
LINE = np.sinh(np.linspace(-6.0, 6.0, 1201)) / np.sinh(6.0) * 20.0
"""Log-moneyness dense at the money and out to what a query may ask."""

BETWEEN = [x + f * (y - x) for x, y in pairwise(MATURITIES) for f in (1e-6, 0.1, 0.5, 0.9)]
BEFORE = [MATURITIES[0] * f for f in (1e-3, 0.1, 0.7, 1 - 1e-6)]
BEYOND = [MATURITIES[-1] * f for f in (1 + 1e-6, 1.05, 1.5, 3.0, 10.0)]


def variance(t: float, k: FloatArray = LINE, surface: list[SliceState] = SURFACE) -> FloatArray:
    return interpolated_variance(k, t, surface)[0]


def durrleman(t: float, k: FloatArray) -> FloatArray:
    """g by fourth-order differences, at steps where their error is below 1e-4 of the density."""
    h = 4e-3 * np.sqrt(variance(t, AT_THE_MONEY)[0])
    shifts = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]) * h
    low2, low, w, high, high2 = variance(t, (k + shifts[:, np.newaxis]).ravel()).reshape(5, -1)
    w1 = (8 * (high - low) - (high2 - low2)) / (12 * h)
    w2 = (16 * (high + low) - (high2 + low2) - 30 * w) / (12 * h * h)
    g: FloatArray = (1 - k * w1 / (2 * w)) ** 2 - w1**2 / 4 * (1 / w + 0.25) + w2 / 2
    return g


@pytest.mark.parametrize("t", [*BEFORE, *BETWEEN[::3], *BEYOND])
def test_no_butterfly_arbitrage(t: float) -> None:
    spread = np.sqrt(variance(t, AT_THE_MONEY)[0])
    for k in (LINE, np.linspace(-4.0, 4.0, 801) * spread):
        assert durrleman(t, k).min() > -1e-4


def test_no_calendar_arbitrage() -> None:
    times = sorted([*BEFORE, *MATURITIES, *BETWEEN, *BEYOND])
    for (early, w_early), (late, w_late) in pairwise((t, variance(t)) for t in times):
        assert (w_late >= w_early * (1 - 1e-14)).all(), (early, late)
        assert variance(late, AT_THE_MONEY)[0] > variance(early, AT_THE_MONEY)[0]


def test_at_the_money_variance_is_linear_in_time() -> None:
    theta = [float(variance(t, AT_THE_MONEY)[0]) for t in MATURITIES]
    knots_t = [0.0, *MATURITIES]
    knots = [0.0, *theta]
    for t in [*BEFORE, *BETWEEN]:
        assert variance(t, AT_THE_MONEY)[0] == pytest.approx(np.interp(t, knots_t, knots), rel=1e-12)
    rate = forward_variance_rate(StackedSlices.of(SURFACE))
    assert rate == pytest.approx((theta[-1] - theta[-2]) / (MATURITIES[-1] - MATURITIES[-2]))
    for t in BEYOND:
        assert variance(t, AT_THE_MONEY)[0] == pytest.approx(theta[-1] + rate * (t - MATURITIES[-1]), rel=1e-12)


@pytest.mark.parametrize("t", MATURITIES)
def test_continuity_at_expiries(t: float) -> None:
    """Prices everywhere, variances within four deviations, at-the-money vol to the clock's resolution."""
    at = variance(t)
    price = otm_price(LINE, np.sqrt(at))
    quoted = np.abs(LINE) < 4.0 * np.sqrt(at[600])
    for side in (1 - 1e-9, 1 + 1e-9):
        near = variance(t * side)
        assert np.abs(near[quoted] / at[quoted] - 1).max() < 1e-5
        assert np.abs(otm_price(LINE, np.sqrt(near)) - price).max() < 1e-9
    vol = np.sqrt(variance(t, AT_THE_MONEY)[0] / t)
    for step in (-2e-11, 2e-11):
        near, further = (np.sqrt(variance(t + x, AT_THE_MONEY)[0] / (t + x)) for x in (step, 2 * step))
        assert interpolated_variance(AT_THE_MONEY, t + step, SURFACE)[1] is not Position.ON_EXPIRY
        assert abs(2 * near - further - vol) < 1e-10


def test_positions() -> None:
    for t in MATURITIES:
        assert interpolated_variance(LINE, t, SURFACE)[1] is Position.ON_EXPIRY
        assert interpolated_variance(LINE, t + 1e-11, SURFACE)[1] is Position.ON_EXPIRY
    for times, position in ((BEFORE, 2), (BETWEEN, 1), (BEYOND, 3)):
        for t in times:
            assert interpolated_variance(LINE, t, SURFACE)[1] is Position(position)


def test_an_expiry_answers_with_its_own_curve() -> None:
    for state in SURFACE:
        assert (variance(state.t) == state.curve.total_variance(LINE)).all()


def test_between_expiries_prices_are_mixed_at_fixed_moneyness() -> None:
    """Prices by Black's formula, where they do not underflow, lie on the line between the neighbours' prices."""
    early, late = SURFACE[5], SURFACE[6]
    k = np.linspace(-0.4, 0.4, 81)
    t = 0.4 * early.t + 0.6 * late.t
    first, second = (otm_price(k, np.sqrt(s.curve.total_variance(k))) for s in (early, late))
    mixed = otm_price(k, np.sqrt(variance(t, k)))
    alpha = (second - mixed) / (second - first)
    assert alpha == pytest.approx(np.full(81, alpha[40]), rel=1e-9)


def test_far_wings_agree_with_arbitrary_precision() -> None:
    """Where prices are below 1e-300, against the mixture in 60 digits."""
    early, late = ssvi(0.004, -0.3, 4.0), ssvi(0.006, -0.3, 3.5)
    surface = slices_of(early, late)
    t = 0.5 * (surface[0].t + surface[1].t)
    with mpmath.workdps(60):

        def price(k: float, w: mpmath.mpf) -> mpmath.mpf:
            s = mpmath.sqrt(w)
            side = 1 if k >= 0 else -1
            up, down = -k / s + s / 2, -k / s - s / 2
            return side * (mpmath.ncdf(side * up) - mpmath.exp(k) * mpmath.ncdf(side * down))

        def variances(k: float) -> list[mpmath.mpf]:
            return [mpmath.mpf(float(c.total_variance(np.array([k]))[0])) for c in (early, late)]

        c1, c2 = (price(0.0, w) for w in variances(0.0))
        ct = price(0.0, sum(variances(0.0)) / 2)
        alpha = (c2 - ct) / (c2 - c1)
        for k in (-20.0, -5.0, -1.0, -0.05, 0.05, 1.0, 5.0, 20.0):
            w1, w2 = variances(k)
            target = alpha * price(k, w1) + (1 - alpha) * price(k, w2)
            got = mpmath.mpf(float(variance(t, np.array([k]), surface)[0]))
            assert w1 < got < w2
            slope = (price(k, got * (1 + mpmath.mpf(10) ** -20)) - price(k, got)) / (got * mpmath.mpf(10) ** -20)
            assert abs((target - price(k, got)) / slope / got) < 1e-13


@pytest.mark.parametrize(("times", "flatness"), [(1.5, 1e-12), (2.0, 1e-9), (5.0, 1e-4), (10.0, 5e-3)])
def test_a_flat_slice_stays_flat_beyond_the_last_expiry(times: float, flatness: float) -> None:
    theta, t_last = 0.04, 0.02
    surface = slices_of(SviCurve(theta, 0.0, 0.0, 0.0, 0.1))
    k = np.linspace(-4.0, 4.0, 81) * np.sqrt(times * theta)
    assert np.abs(variance(times * t_last, k, surface) / (times * theta) - 1).max() < flatness


@given(
    theta=st.floats(1e-3, 0.2),
    growth=st.floats(1.0, 2.0),
    rho=st.floats(-0.9, 0.9),
    share=st.floats(0.01, 0.99),
    k=st.floats(-3.0, 3.0),
)
@settings(max_examples=150, deadline=None)
def test_interpolation_lies_between_its_neighbours(
    theta: float, growth: float, rho: float, share: float, k: float
) -> None:
    phi = 0.8 / np.sqrt(theta)
    surface = slices_of(ssvi(theta, rho, phi), ssvi(theta * growth, rho, phi / np.sqrt(growth)))
    t = surface[0].t + share * (surface[1].t - surface[0].t)
    point = np.array([k])
    low, mid, high = (float(variance(x, point, surface)[0]) for x in (surface[0].t, t, surface[1].t))
    assert low * (1 - 1e-14) <= mid <= high * (1 + 1e-14)


def test_a_batch_answers_as_its_points_do() -> None:
    rng = np.random.default_rng(3)
    t = rng.choice([*BEFORE, *MATURITIES, *BETWEEN, *BEYOND], 300)
    k = rng.normal(0.0, 0.3, 300)
    w, positions = interpolated_variances(k, t, SURFACE)
    for i in range(300):
        alone, position = interpolated_variance(k[i : i + 1], float(t[i]), SURFACE)
        assert w[i] == pytest.approx(alone[0], rel=1e-13)
        assert Position(positions[i]) is position


@pytest.mark.parametrize("times", [BETWEEN[::5], [*BEFORE, *MATURITIES, *BETWEEN[:2], *BEYOND]])
def test_rows_answer_as_their_points_do(times: list[float]) -> None:
    t, k = np.array(times), np.outer(np.arange(1, len(times) + 1), np.linspace(-0.5, 0.5, 7))
    expected, _ = interpolated_variances(k.ravel(), np.repeat(t, 7), SURFACE)
    assert variances_of_rows(k, t, StackedSlices.of(SURFACE)).tolist() == expected.reshape(k.shape).tolist()


def test_places_are_those_of_a_plain_search() -> None:
    maturities = np.array([0.01, 0.02, 0.02 + 1.5 * SAME_MATURITY, 0.5])
    beside = np.concatenate([maturities + f * SAME_MATURITY for f in (-1.01, -0.99, -0.5, 0.0, 0.5, 0.75, 0.99, 1.01)])
    t = np.concatenate([[1e-3, 0.015, 0.1, 0.7], beside])
    positions, later = np.empty(t.shape, dtype=np.int8), np.empty(t.shape, dtype=np.int64)
    find_places(t, maturities, positions, later)
    for i, x in enumerate(t.tolist()):
        nearest = int(np.abs(maturities - x).argmin())
        if abs(x - maturities[nearest]) <= SAME_MATURITY:
            expected, at = Position.ON_EXPIRY, nearest
        elif x < maturities[0]:
            expected, at = Position.BEFORE_FIRST, 0
        elif x > maturities[-1]:
            expected, at = Position.BEYOND_LAST, maturities.size - 1
        else:
            expected, at = Position.BETWEEN, int(np.searchsorted(maturities, x))
        assert (positions[i], later[i]) == (expected, at), x
    assert set(positions) == set(Position)


def test_variances_between_are_the_mixture_of_prices() -> None:
    rng = np.random.default_rng(7)
    early, late = SURFACE[2], SURFACE[3]
    k, t = rng.normal(0.0, 0.1, 50), rng.uniform(early.t, late.t, 50)
    theta = [float(s.curve.total_variance(AT_THE_MONEY)[0]) for s in (early, late)]
    elapsed = (t - early.t) / (late.t - early.t)
    c = [otm_price(np.zeros(50), np.sqrt(w)) for w in (*theta, theta[0] + elapsed * (theta[1] - theta[0]))]
    alpha = (c[1] - c[2]) / (c[1] - c[0])
    near, far = (otm_price(k, np.sqrt(s.curve.total_variance(k))) for s in (early, late))
    w, _ = interpolated_variances(k, t, SURFACE)
    np.testing.assert_allclose(otm_price(k, np.sqrt(w)), alpha * near + (1.0 - alpha) * far, rtol=1e-12)


def test_shapes_are_kept() -> None:
    k = np.zeros((2, 3))
    assert interpolated_variance(k, 0.1, SURFACE)[0].shape == (2, 3)
    assert interpolated_variance(np.zeros(0), 0.1, SURFACE)[0].shape == (0,)
    w, positions = interpolated_variances(np.zeros(0), np.zeros(0), SURFACE)
    assert w.shape == positions.shape == (0,)


def test_the_forward_rate_has_a_floor() -> None:
    curve = ssvi(0.04, -0.3, 2.0)
    falling = slices_of(curve, curve)
    average = 0.04 / falling[-1].t
    assert forward_variance_rate(StackedSlices.of(falling)) == pytest.approx(SMALLEST_RATE * average)
    assert forward_variance_rate(StackedSlices.of(falling[:1])) == pytest.approx(0.04 / falling[0].t)
    assert variance(2 * falling[-1].t, AT_THE_MONEY, falling)[0] == pytest.approx(0.04 * (1 + SMALLEST_RATE))


def test_expiries_a_moment_apart_tell_no_forward_rate() -> None:
    """A ten-thousandth of variance between two a second apart would be a vol of 5,800 % beyond them."""
    first, last = slices_of(ssvi(0.02, -0.3, 2.0), ssvi(0.04, -0.3, 2.0))
    twin = SliceState(last.expiry_ms, last.t + 3e-8, ssvi(0.0401, -0.3, 2.0))
    rate = forward_variance_rate(StackedSlices.of((first, last)))
    assert forward_variance_rate(StackedSlices.of((first, last, twin))) == pytest.approx(rate, rel=0.01)
    assert forward_variance_rate(StackedSlices.of((last, twin))) == pytest.approx(0.0401 / twin.t)


def test_equal_at_the_money_variances_interpolate() -> None:
    early = ssvi(0.04, -0.3, 2.0)
    late = replace(
        early, b=early.b * 0.9, a=early.a + 0.1 * early.b * (np.hypot(early.m, early.sigma) - early.rho * early.m)
    )
    surface = slices_of(early, late)
    w = variance(0.03, np.array([0.0]), surface)
    assert w[0] == pytest.approx(0.04, rel=1e-12)


def test_questions_without_an_answer_raise() -> None:
    for t in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InvalidQuery, match="maturity"):
            interpolated_variance(LINE, t, SURFACE)
    with pytest.raises(InvalidQuery, match="finite"):
        interpolated_variance(np.array([np.nan]), 0.1, SURFACE)
    with pytest.raises(InvalidQuery, match="without slices"):
        interpolated_variance(LINE, 0.1, [])
    with pytest.raises(InvalidQuery, match="ascend"):
        interpolated_variance(LINE, 0.1, SURFACE[::-1])
    with pytest.raises(InvalidQuery, match="one length"):
        interpolated_variances(LINE, np.array([0.1]), SURFACE)
    zero = SviCurve(0.0, 0.0, 0.0, 0.0, 0.1)
    with pytest.raises(InvalidParameters, match="must be positive"):
        interpolated_variance(LINE, 0.01, slices_of(zero))


def test_half_an_hour_of_smile_does_not_answer_for_half_a_year() -> None:
    """A variance of 0.15 in half an hour, as wrecked quotes gave it once, is one of 1,300 in half a year."""
    half_an_hour = [replace(SURFACE[-1], t=5.7e-5)]
    assert variance(5.8e-5, AT_THE_MONEY, half_an_hour)[0] > variance(5.7e-5, AT_THE_MONEY, half_an_hour)[0]
    with pytest.raises(InvalidQuery, match="at most 100 is answered for"):
        variance(0.5, AT_THE_MONEY, half_an_hour)
