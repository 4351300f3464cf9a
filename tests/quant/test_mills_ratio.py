import math

import mpmath as mp
import numpy as np
import pytest

from app.quant.elementary import SMALLEST_EXPONENT, inverse_sinh, log_one_plus, natural_exp, natural_log
from app.quant.mills_ratio import MILLS_LEFT, MILLS_SCALE, MILLS_SLOPE, mills_difference, mills_ratio
from tests.reference.derive_coefficients import mills, mills_slope

RNG_SEED = 11


def test_stored_coefficients_are_the_derived_ones():
    np.testing.assert_array_equal(MILLS_SLOPE, mills_slope())


def test_difference_keeps_its_digits_as_the_arguments_meet():
    rng = np.random.default_rng(RNG_SEED)
    for h, t in zip(rng.uniform(0.0, 38.0, 150), 10.0 ** rng.uniform(-9.0, 0.05, 150), strict=True):
        with mp.workdps(50):
            exact = mills(mp.mpf(h) - mp.mpf(t)) - mills(mp.mpf(h) + mp.mpf(t))
        assert mills_difference(h, t) == pytest.approx(float(exact), rel=5e-15)


@pytest.mark.parametrize("a", [*np.linspace(MILLS_LEFT, 6.0, 60), 20.0, 1e3])
def test_ratio_against_mpmath(a):
    with mp.workdps(30):
        exact = float(mills(mp.mpf(a)))
    assert mills_ratio(a) == pytest.approx(exact, rel=5e-15)


def test_ratio_tends_to_the_reciprocal():
    assert mills_ratio(1e9) == pytest.approx(1e-9, rel=5e-15)


def test_compiled_difference_agrees_with_a_plain_twin():
    shift = MILLS_SCALE - MILLS_LEFT

    def twin(h, t):
        near, far = h - t + shift, h + t + shift
        division = total = MILLS_SLOPE[-1]
        for c in MILLS_SLOPE[-2:0:-1]:
            division = division * (1.0 - 2.0 * MILLS_SCALE / near) + c
            total = total * (1.0 - 2.0 * MILLS_SCALE / far) + division
        return 4.0 * MILLS_SCALE * t / (near * far) * total

    for h, t in np.random.default_rng(RNG_SEED).uniform((0.0, 1e-6), (20.0, 1.2), (200, 2)):
        assert mills_difference(h, t) == pytest.approx(twin(h, t), rel=1e-13)


def test_natural_log_against_the_library():
    rng = np.random.default_rng(RNG_SEED)
    wide, near_one = np.exp(rng.uniform(-700.0, 700.0, 500)), 1.0 + rng.uniform(-0.3, 0.3, 500) ** 5
    for x in (*wide, *near_one, 1.0, math.sqrt(0.5), math.sqrt(2.0), 2.2250738585072014e-308):
        assert natural_log(x) == pytest.approx(math.log(x), rel=4e-16, abs=0.0)


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-17, 1e-8, 0.1, 1.0, 1e3, 1e300])
def test_log_one_plus_against_the_library(x):
    assert log_one_plus(x) == pytest.approx(math.log1p(x), rel=4e-16, abs=0.0)


def test_natural_exp_against_the_library():
    rng = np.random.default_rng(RNG_SEED)
    for x in (
        *rng.uniform(SMALLEST_EXPONENT, 700.0, 500),
        *rng.uniform(-1.0, 1.0, 200),
        0.0,
        1e-300,
        SMALLEST_EXPONENT,
    ):
        assert natural_exp(x) == pytest.approx(math.exp(x), rel=5e-16, abs=0.0)
    assert natural_exp(-1e6) == natural_exp(SMALLEST_EXPONENT)


def test_inverse_sinh_against_the_library():
    rng = np.random.default_rng(RNG_SEED)
    for x in (*(rng.choice([-1.0, 1.0], 500) * np.exp(rng.uniform(-30.0, 30.0, 500))), 0.0, 1e150):
        assert inverse_sinh(x) == pytest.approx(math.asinh(x), rel=5e-16, abs=4e-16)
