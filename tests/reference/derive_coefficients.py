"""Derives, with mpmath and from the definitions alone, every polynomial coefficient the implied-vol kernels store.

Run ``python tests/reference/derive_coefficients.py`` to print them; the tests compare them with what is stored.
"""

from typing import Final

import mpmath as mp

DIGITS: Final = 40
MILLS_LEFT: Final = mp.mpf("-1.25")
"""Smallest argument of the Mills ratio covered."""
MILLS_SCALE: Final = mp.mpf("3.5")
MILLS_DEGREE: Final = 27
"""With this scale the interpolation error is below 1e-15 of the value, on [-1.25, oo)."""
GUESS_DEGREE: Final = 4
GUESS_ETA: Final = mp.mpf("0.0027")
"""eta at 38 standard deviations, beyond which a price underflows."""
BISECTIONS: Final = 150


def mills_slope() -> list[float]:
    """Return c with -M(a) = c_0 + c_1 u + ... , u = (w - K) / (w + K), w = a - MILLS_LEFT, K = MILLS_SCALE.

    (w + K) M(a) is smooth on u in [-1, 1] (it tends to 1 at infinity) and is interpolated at Chebyshev nodes;
    M(a) follows with the factor 1 / (w + K) = (1 - u) / (2 K), so that it vanishes exactly where u = 1.
    """
    with mp.workdps(DIGITS):
        count = MILLS_DEGREE
        angles = [(2 * j + 1) * mp.pi / (2 * count) for j in range(count)]
        values = [_scaled_mills(mp.cos(angle)) for angle in angles]
        chebyshev = [
            mp.fsum(v * mp.cos(n * angle) for v, angle in zip(values, angles, strict=True))
            * (1 if n == 0 else 2)
            / count
            for n in range(count)
        ]
        monomial = _monomials(chebyshev)
        padded = [mp.mpf(0), *monomial, mp.mpf(0)]
        return [float(padded[i] - padded[i + 1]) for i in range(count + 1)]


def _scaled_mills(u: mp.mpf) -> mp.mpf:
    """Return (w + K) M(a) / (2 K)."""
    w = MILLS_SCALE * (1 + u) / (1 - u)
    return (w + MILLS_SCALE) * mills(MILLS_LEFT + w) / (2 * MILLS_SCALE)


def mills(a: mp.mpf) -> mp.mpf:
    """Return the Mills ratio Phi(-a) / phi(a)."""
    return mp.sqrt(mp.pi / 2) * mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2))


def _monomials(chebyshev: list[mp.mpf]) -> list[mp.mpf]:
    """Return the coefficients of sum_n chebyshev_n T_n(u) in powers of u, by T_n+1 = 2 u T_n - T_n-1."""
    count = len(chebyshev)
    previous, current = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
    total = [chebyshev[0], *[mp.mpf(0)] * (count - 1)]
    for c in chebyshev[1:]:
        for power, value in enumerate(current):
            total[power] += c * value
        following = [mp.mpf(0), *[2 * v for v in current]]
        for power, value in enumerate(previous):
            following[power] -= value
        previous, current = current, following
    return total


def bachelier_guess() -> tuple[list[float], list[float]]:
    """Return numerator and denominator of the rational function r(eta) = normal deviation / (straddle sqrt(eta)).

    In the normal model, per unit of deviation: time value v(d) = phi(d) - d Phi(-d), straddle 2 v + d, and
    eta = 2 q / ((2 + q) ln(1 + q)) with q = d / v. Interpolated at Chebyshev nodes in sqrt(eta).
    """
    with mp.workdps(DIGITS):
        count = 2 * GUESS_DEGREE + 1
        low = mp.sqrt(GUESS_ETA)
        nodes = [((1 + low) / 2 + (1 - low) / 2 * mp.cos((2 * j + 1) * mp.pi / (2 * count))) ** 2 for j in range(count)]
        matrix, right = mp.matrix(count, count), mp.matrix(count, 1)
        for row, eta in enumerate(nodes):
            right[row] = value = bachelier_ratio(_distance(eta))[1]
            for power in range(GUESS_DEGREE + 1):
                matrix[row, power] = eta**power
            for power in range(1, GUESS_DEGREE + 1):
                matrix[row, GUESS_DEGREE + power] = -value * eta**power
        solution = [float(v) for v in mp.lu_solve(matrix, right)]
        return solution[: GUESS_DEGREE + 1], [1.0, *solution[GUESS_DEGREE + 1 :]]


def bachelier_ratio(d: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """Return (eta, r(eta)) at d = |F - K| / normal deviation."""
    time_value = mp.npdf(d) - d * mp.ncdf(-d)
    q = d / time_value
    eta = 2 * q / ((2 + q) * mp.log1p(q))
    return eta, 1 / ((2 * time_value + d) * mp.sqrt(eta))


def _distance(eta: mp.mpf) -> mp.mpf:
    """Return d with bachelier_ratio(d)[0] == eta; eta falls from 1 at d = 0."""
    low, high = mp.mpf("1e-12"), mp.mpf(60)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if bachelier_ratio(middle)[0] > eta else (low, middle)
    return (low + high) / 2


if __name__ == "__main__":
    numerator, denominator = bachelier_guess()
    for name, values in (("slope", mills_slope()), ("numerator", numerator), ("denominator", denominator)):
        print(name, *(f"    {value!r}," for value in values), sep="\n")
