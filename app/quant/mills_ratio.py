"""The Mills ratio M(a) = Phi(-a) / phi(a) and its differences, which are Black's formula without the exponentials.

With h = |ln(F/K)| / s and t = s / 2, s = vol sqrt(T), the out-of-the-money price is
min(F, K) phi(h - t) (M(h - t) - M(h + t)).
"""

from typing import Final

from app.quant.compiled import inner_kernel
from app.quant.elementary import divided_difference, multiply_add

MILLS_LEFT: Final = -1.25
"""Smallest argument covered."""
DIFFERENCE_LEFT: Final = -1.2
"""Smallest h - t at which prices are differences of Mills ratios; left of it the room below the bound is smaller."""
MILLS_SCALE: Final = 3.5
"""K in the change of variable u = (w - K) / (w + K), w = a - MILLS_LEFT, which maps [MILLS_LEFT, oo) to [-1, 1)."""
MILLS_SLOPE: Final = (
    -0.3851482907984346,
    0.9339144199246543,
    -1.1476426477303385,
    1.0965612048620295,
    -0.7998644775981855,
    0.42001693381658456,
    -0.13198596991272118,
    0.0016178067868014142,
    0.01834412831799649,
    -0.004768732226369352,
    -0.0022855459264108915,
    0.0011258873957174348,
    0.00037836095510742653,
    -0.00023030894487094996,
    -9.034503998163304e-05,
    4.319797638469416e-05,
    2.6231634884701432e-05,
    -6.012601075492945e-06,
    -7.649089882708604e-06,
    -1.7121057107197844e-07,
    1.9761295474754685e-06,
    5.281697803537818e-07,
    -4.0596304643183323e-07,
    -2.151085511840921e-07,
    5.712798483304281e-08,
    4.804160229658162e-08,
    -4.013896347779557e-09,
    -4.9747396622166805e-09,
)
"""-M(a) in powers of u, zero at u = 1; derived in tests/reference/derive_coefficients.py."""

_slope: Final = divided_difference(MILLS_SLOPE)
_shift: Final = MILLS_SCALE - MILLS_LEFT


@inner_kernel(forceinline=True)
def mills_difference(h: float, t: float) -> float:
    """Return M(h - t) - M(h + t) for t > 0, h - t >= MILLS_LEFT, within 4e-15 of its value for every t.

    With e = w + K and u = 1 - 2 K / e the difference of the two u is 4 K t / (e1 e2): it is never formed by
    subtraction, and neither is that of the two M.
    """
    near = (h - t) + _shift
    far = (h + t) + _shift
    product = 1.0 / (near * far)
    twice = -2.0 * MILLS_SCALE * product
    slope = _slope(multiply_add(twice, far, 1.0), multiply_add(twice, near, 1.0))
    return -2.0 * twice * t * slope


@inner_kernel(forceinline=True)
def mills_ratio(a: float) -> float:
    """Return M(a) for a >= MILLS_LEFT: the difference of M to its value 0 at infinity, where u = 1."""
    step = 2.0 * MILLS_SCALE / (a + _shift)
    return step * _slope(1.0 - step, 1.0)
