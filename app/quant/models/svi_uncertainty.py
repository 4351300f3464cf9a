"""How well the quotes of a slice know its vols: the delta method on SVI and its residual, with correlated noise.

For the least-squares fit of theta to quotes with sds s_i, u_i = (d vol(k_i) / d theta) / s_i and prior precision P,
H = sum u_i u_i' + P, the estimator's covariance is the sandwich

    H^-1 (sum_ij C_ij u_i u_j' + P) H^-1,    C_ij = (1 - c) [i = j] + c exp(-|z_i - z_j| / l),

with z = k / sqrt(w(0)) (White 1980 for the form; C because neighbouring quotes err together, which a model of
independent errors takes for signal); sandwich.py computes it. The sd of a vol with gradient g is sqrt(g' cov g).

theta is the residual's coefficients, then SVI's a, b, rho, m, sigma. The coefficients enter with the fit's own ridge
as their prior; SVI's five with the weak one that they are of their own size, which keeps H regular where no quote tells
them.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.packed_curve import SUPPORT, spline_basis
from app.quant.models.quote_loss import BAND_PULL
from app.quant.models.residual_fit import RIDGE_WEIGHT
from app.quant.models.residual_objective import ridge_share
from app.quant.models.sandwich import sandwich_covariance
from app.quant.models.svi_coordinates import SLICE_SIZE

COMMON_SHARE: Final = 0.3
"""c: share of the noise variance that neighbours have in common; the temporal prior's estimate."""
CORRELATION_LENGTH: Final = 0.5
"""l, in deviations: on recorded chains the misfit's correlation is gone two strikes further."""
LOCAL_WIDTH: Final = 0.4
"""Deviations over which quotes tell the noise at a node."""
RIDGE: Final = RIDGE_WEIGHT / BAND_PULL
"""Precision of a coefficient at the money in units of what one mid tells there."""
ALIVE: Final = SUPPORT + SLICE_SIZE
"""Parameters that a vol depends on."""


@inner_kernel
def raw_svi_gradient(raw: FloatArray, k: float, gradient: FloatArray) -> float:
    """Write dw/d(a, b, rho, m, sigma) of raw SVI at ``k`` and return w."""
    a, b, rho, m, sigma = raw[0], raw[1], raw[2], raw[3], raw[4]
    y = k - m
    r = math.sqrt(y * y + sigma * sigma)
    gradient[0] = 1.0
    gradient[1] = rho * y + r
    gradient[2] = b * y
    gradient[3] = -b * (rho + y / r)
    gradient[4] = b * sigma / r
    w: float = a + b * (rho * y + r)
    return w


@inner_kernel
def vol_gradient(
    raw: FloatArray,
    at_the_money: float,
    knots: FloatArray,
    coefficients: FloatArray,
    t: float,
    k: float,
    out: FloatArray,
) -> int:
    """Write d vol / d(c_j, c_j+1, c_j+2, c_j+3, a, b, rho, m, sigma) at ``k`` and return j, the first coefficient that
    may be alive there; the c_j scale with SVI's ``at_the_money`` variance, held fixed. Those there are not have 0."""
    for j in range(SUPPORT):
        out[j] = 0.0
    w = raw_svi_gradient(raw, k, out[SUPPORT:])
    start, count = 0, int(knots[3])
    if count > 0:
        basis = np.empty((3, SUPPORT))
        first = spline_basis(knots, k, basis)
        start = min(max(first, 0), max(count - SUPPORT, 0))
        for j in range(max(first, 0), min(first + SUPPORT, count)):
            out[j - start] = at_the_money * basis[0, j - first]
            w += coefficients[j] * out[j - start]
    scale = 0.5 / math.sqrt(w * t)
    for a in range(ALIVE):
        out[a] *= scale
    return start


@inner_kernel
def local_noise(z: FloatArray, noise: FloatArray, at: float) -> float:
    """Return the sd of a mid at ``at`` deviations: quotes nearby in the mean square, growing in proportion to 1 + the
    distance in deviations beyond the outermost quote."""
    gap: float = max(z[0] - at, at - z[-1], 0.0)
    nearest = math.inf
    for i in range(z.shape[0]):
        nearest = min(nearest, abs(z[i] - at))
    total, square = 0.0, 0.0
    for i in range(z.shape[0]):
        d = z[i] - at
        weight = math.exp(0.5 * (nearest * nearest - d * d) / (LOCAL_WIDTH * LOCAL_WIDTH))
        total += weight
        square += weight * noise[i] * noise[i]
    return (1.0 + gap) * math.sqrt(square / total)


@inner_kernel
def weak_prior(
    raw: FloatArray, knots: FloatArray, at_the_money: float, money_precision: float, prior: FloatArray
) -> None:
    """Write the prior precision of the residual's coefficients, of those that only fill the band, and of SVI's."""
    band = prior.shape[0] - SLICE_SIZE
    deviation = math.sqrt(at_the_money)
    sizes = (at_the_money, raw[1] + deviation, 1.0, deviation, raw[4] + deviation)
    for a in range(SLICE_SIZE):
        prior[band + a, band + a] = 1.0 / (sizes[a] * sizes[a])
    for j in range(band):
        prior[j, j] = RIDGE * ridge_share(knots, j) * money_precision


@kernel
def node_sds(
    offsets: IntArray,
    k: FloatArray,
    noise: FloatArray,
    t: FloatArray,
    raw: FloatArray,
    knots: FloatArray,
    coefficients: FloatArray,
    nodes: FloatArray,
    places: FloatArray,
    sds: FloatArray,
    covariances: FloatArray,
) -> None:
    """Write log-moneyness and predictive sd at ``nodes`` (in deviations at the money) of each slice, shape (n, m), and
    the covariance of its raw SVI parameters, shape (n, 5, 5).

    The predictive sd is that of a mid the market may show there: the curve's own and the quotes' noise. A slice
    without variance at the money is left out.
    """
    m = nodes.shape[0]
    gradient = np.empty(ALIVE)
    variance = np.empty(SLICE_SIZE + m)
    for i in range(t.shape[0]):
        first, n = offsets[i], offsets[i + 1] - offsets[i]
        at_the_money = raw_svi_gradient(raw[i], 0.0, gradient)
        if not at_the_money > 0.0:
            continue
        deviation = math.sqrt(at_the_money)
        z, u, start = np.empty(n), np.empty((n, ALIVE)), np.empty(n, np.int64)
        typical = 0.0
        for j in range(n):
            row = first + j
            start[j] = vol_gradient(raw[i], at_the_money, knots[i], coefficients[i], t[i], k[row], u[j])
            z[j] = k[row] / deviation
            for a in range(ALIVE):
                u[j, a] /= noise[row]
            typical += noise[row] ** 2 / n
        band = max(int(knots[i, 3]), SUPPORT)
        prior = np.zeros((band + SLICE_SIZE, band + SLICE_SIZE))
        weak_prior(raw[i], knots[i], at_the_money, 0.25 * at_the_money / t[i] / typical, prior)
        targets = np.zeros((band + SLICE_SIZE, SLICE_SIZE + m))
        for a in range(SLICE_SIZE):
            targets[band + a, a] = 1.0
        for j in range(m):
            places[i, j] = nodes[j] * deviation
            at = vol_gradient(raw[i], at_the_money, knots[i], coefficients[i], t[i], places[i, j], gradient)
            for a in range(ALIVE):
                targets[at + a if a < SUPPORT else band + a - SUPPORT, SLICE_SIZE + j] = gradient[a]
        sandwich_covariance(u, start, z, prior, COMMON_SHARE, CORRELATION_LENGTH, targets, variance, covariances[i])
        for j in range(m):
            own = math.sqrt(variance[SLICE_SIZE + j])
            sds[i, j] = math.hypot(own, local_noise(z, noise[first : first + n], nodes[j]))
