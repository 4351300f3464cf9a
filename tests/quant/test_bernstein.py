"""Positivity proofs of polynomials whose roots are known."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import polynomial

from app.quant.arrays import FloatArray
from app.quant.bernstein import BASIS, DEGREE, EPSILON, halve, positive_up_to


def padded(coefficients: FloatArray) -> FloatArray:
    return np.pad(coefficients, (0, DEGREE + 1 - len(coefficients)))


def proven(coefficients: FloatArray, end: float = 1.0) -> bool:
    full = padded(np.asarray(coefficients, dtype=float))
    return bool(positive_up_to(full, 16 * EPSILON * np.abs(full), end))


@settings(deadline=None)
@given(st.floats(-1.0, 2.0), st.floats(1e-5, 1.0), st.floats(0.1, 10.0))
def test_a_parabola_above_zero_is_proven_and_below_is_not(centre: float, height: float, scale: float) -> None:
    touching = np.array([centre * centre, -2 * centre, 1.0]) * scale
    assert proven(touching + np.array([height, 0.0, 0.0]))
    if 0.0 <= centre <= 1.0:
        assert not proven(touching - np.array([1e-9, 0.0, 0.0]))


@settings(deadline=None)
@given(st.lists(st.floats(1.5, 50.0), min_size=10, max_size=10), st.floats(0.0, 1.0))
def test_roots_outside_are_proven_and_one_inside_is_not(roots: list[float], inside: float) -> None:
    away = polynomial.polyfromroots(roots)
    assert proven(away * np.sign(away[0]))
    crossing = polynomial.polyfromroots([*roots[:9], inside])
    assert not proven(crossing * np.sign(crossing[0]))


def test_the_range_scales() -> None:
    falling = np.array([3.0, -1.0])
    assert proven(falling, 2.9)
    assert not proven(falling, 3.0)


def test_a_margin_below_the_guard_is_not_proven() -> None:
    square = padded(np.array([0.25, -1.0, 1.0]))
    square[0] += 1e-12
    assert positive_up_to(square, np.zeros(DEGREE + 1), 1.0)
    assert not positive_up_to(square, np.full(DEGREE + 1, 1e-12), 1.0)


def test_nan_and_infinity_prove_nothing() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        assert not proven(np.array([1.0, bad]))


def test_conversion_and_halving_agree_with_rational_arithmetic() -> None:
    rng = np.random.default_rng(3)
    power = rng.normal(size=DEGREE + 1)
    b = BASIS @ power
    left, e, left_error = np.empty(DEGREE + 1), np.zeros(DEGREE + 1), np.empty(DEGREE + 1)
    right = b.copy()
    halve(right, e, left, left_error)
    exact = [Fraction(float(v)) for v in b]
    lefts = []
    for level in range(DEGREE + 1):
        lefts.append(exact[0])
        exact = [(p + q) / 2 for p, q in pairwise(exact)] if level < DEGREE else exact
    for got, bound, want in zip(left, left_error, lefts, strict=True):
        assert abs(Fraction(float(got)) - want) <= Fraction(float(bound))
    for z in (0.0, 0.3, 1.0):
        assert polynomial.polyval(z, power) == pytest.approx(
            sum(
                c * comb * z**i * (1 - z) ** (DEGREE - i)
                for i, (c, comb) in enumerate(zip(b, _binomials(), strict=True))
            )
        )
    assert right[0] == left[-1]


def _binomials() -> list[int]:
    row = [1]
    for _ in range(DEGREE):
        row = [1, *(p + q for p, q in pairwise(row)), 1]
    return row
