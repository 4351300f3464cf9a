"""Black-76 in mpmath: the yardstick of the price and implied-vol tests."""

import mpmath as mp

DIGITS = 40


def otm_over_root(x, s):
    """Return the out-of-the-money price over sqrt(F K) for x = |ln(F/K)|."""
    return mp.exp(-x / 2) * mp.ncdf(s / 2 - x / s) - mp.exp(x / 2) * mp.ncdf(-s / 2 - x / s)


def otm_over_forward(k: float, deviation: float) -> mp.mpf:
    with mp.workdps(DIGITS + 20):
        k, s = mp.mpf(k), mp.mpf(deviation)
        return mp.exp(k / 2) * otm_over_root(abs(k), s)


def implied_deviation(forward: float, strike: float, price: float, near: float) -> mp.mpf:
    """Return vol sqrt(T) of an out-of-the-money price taken as exact, by Newton steps on its logarithm."""
    with mp.workdps(DIGITS):
        forward, strike, s = mp.mpf(forward), mp.mpf(strike), mp.mpf(near)
        x = abs(mp.log(forward / strike))
        target = mp.log(mp.mpf(price) / mp.sqrt(forward * strike))
        for _ in range(8):
            value = otm_over_root(x, s)
            slope = mp.npdf(mp.sqrt((x / s) ** 2 + (s / 2) ** 2)) / value
            step = (target - mp.log(value)) / slope
            s += step
            if abs(step) < mp.mpf("1e-20") * s:
                return s
        raise AssertionError(f"no convergence at F={forward}, K={strike}, price={price}")
