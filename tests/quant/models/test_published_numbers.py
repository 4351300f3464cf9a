import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.models.published_numbers import DIGITS, round_significant


@given(st.floats(1e-11, 1e15), st.booleans())
@settings(deadline=None)
def test_rounding_gives_the_double_nearest_to_twelve_digits(x: float, negative: bool) -> None:
    """Up to the tie-break and the last place of x 10^p, where the exact decimal may lie half-way."""
    values = np.array([-x if negative else x])
    round_significant(values, DIGITS)
    candidates = {float(f"{y:.11e}") for y in (x, np.nextafter(x, 0.0), np.nextafter(x, np.inf))}
    step = 10.0 ** (np.floor(np.log10(x)) - 11)
    assert abs(values[0]) in candidates or abs(abs(abs(values[0]) - x) - 0.5 * step) < 1e-3 * step
    assert float(f"{values[0]:.12g}") == values[0]


def test_zero_and_what_is_not_finite_stay() -> None:
    values = np.array([0.0, np.inf, np.nan])
    round_significant(values, DIGITS)
    np.testing.assert_array_equal(values, [0.0, np.inf, np.nan])
