"""How well the quotes of a slice know its vols: the delta method on SVI and its residual, with correlated noise.

For the least-squares fit of theta to quotes with sds s_i, u_i = (d vol(k_i) / d theta) / s_i and prior precision P,
H = sum u_i u_i' + P, the estimator's covariance is the sandwich

    H^-1 (sum_ij C_ij u_i u_j' + P) H^-1,    C_ij = (1 - c) [i = j] + c exp(-|z_i - z_j| / l),

with z = k / sqrt(w(0)) (White 1980 for the form; C because neighbouring quotes err together, which a model of
independent errors takes for signal). The exponential kernel is Markov, so sum_j C_ij u_j costs one pass in each
direction. The sd of a vol with gradient g is sqrt(g' cov g).

The residual's coefficients enter theta with the fit's own ridge and smoothness as their prior; SVI's five with the
weak one that they are of their own size, which keeps H regular where no quote tells them.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SUPPORT, spline_basis
from app.quant.models.quote_loss import BAND_PULL
from app.quant.models.residual_fit import RIDGE_WEIGHT, SMOOTHNESS_WEIGHT
from app.quant.models.svi_coordinates import SLICE_SIZE

COMMON_SHARE: Final = 0.3
"""c: share of the noise variance that neighbours have in common; the temporal prior's estimate."""
CORRELATION_LENGTH: Final = 0.5
"""l, in deviations: on recorded chains the misfit's correlation is gone two strikes further."""
LOCAL_WIDTH: Final = 0.4
"""Deviations over which quotes tell the noise at a node."""
RIDGE: Final = RIDGE_WEIGHT / BAND_PULL
SMOOTHNESS: Final = SMOOTHNESS_WEIGHT / BAND_PULL
"""Precision of a coefficient, and of a second difference, in units of what one mid tells at the money."""
PARAMETERS: Final = SLICE_SIZE + MAX_COEFFICIENTS


@kernel
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


@kernel
def vol_gradient(
    raw: FloatArray, knots: FloatArray, coefficients: FloatArray, t: float, k: float, gradient: FloatArray
) -> None:
    """Write d vol / d(a, b, rho, m, sigma, c_0, c_1, ...) at ``k``; the c_j scale with SVI's w(0), held fixed."""
    for a in range(gradient.shape[0]):
        gradient[a] = 0.0
    at_the_money = raw_svi_gradient(raw, 0.0, gradient)
    w = raw_svi_gradient(raw, k, gradient)
    count = int(knots[3])
    if count > 0:
        basis = np.empty((3, SUPPORT))
        first = spline_basis(knots, k, basis)
        for j in range(max(first, 0), min(first + SUPPORT, count)):
            gradient[SLICE_SIZE + j] = at_the_money * basis[0, j - first]
            w += coefficients[j] * gradient[SLICE_SIZE + j]
    scale = 0.5 / math.sqrt(w * t)
    for a in range(gradient.shape[0]):
        gradient[a] *= scale


@kernel
def sandwich_covariance(
    u: FloatArray,
    z: FloatArray,
    prior: FloatArray,
    share: float,
    length: float,
    targets: FloatArray,
    covariance: FloatArray,
) -> None:
    """Write g_i' cov g_j (m, m), g the rows of ``targets`` (m, p); ``u`` (n, p), ``z`` ascending, ``prior`` (p, p)."""
    n, p = u.shape
    common = np.empty((n, p))
    for a in range(p):
        ahead = 0.0
        for i in range(n):
            if i > 0:
                ahead = (ahead + u[i - 1, a]) * math.exp((z[i - 1] - z[i]) / length)
            common[i, a] = u[i, a] + ahead
        behind = 0.0
        for i in range(n - 2, -1, -1):
            behind = (behind + u[i + 1, a]) * math.exp((z[i] - z[i + 1]) / length)
            common[i, a] += behind
    h, meat = prior.copy(), prior.copy()
    for i in range(n):
        for a in range(p):
            if u[i, a] == 0.0:
                continue
            for b in range(p):
                h[a, b] += u[i, a] * u[i, b]
                meat[a, b] += u[i, a] * ((1.0 - share) * u[i, b] + share * common[i, b])
    for a in range(p):
        for b in range(a + 1):
            rest = h[a, b]
            for j in range(b):
                rest -= h[a, j] * h[b, j]
            h[a, b] = math.sqrt(rest) if a == b else rest / h[b, b]
    solved = np.empty(targets.shape)
    for row in range(targets.shape[0]):
        for a in range(p):
            rest = targets[row, a]
            for j in range(a):
                rest -= h[a, j] * solved[row, j]
            solved[row, a] = rest / h[a, a]
        for a in range(p - 1, -1, -1):
            rest = solved[row, a]
            for j in range(a + 1, p):
                rest -= h[j, a] * solved[row, j]
            solved[row, a] = rest / h[a, a]
    spread = np.zeros(p)
    for row in range(targets.shape[0]):
        for a in range(p):
            spread[a] = 0.0
            for b in range(p):
                spread[a] += meat[a, b] * solved[row, b]
        for other in range(row + 1):
            shared = 0.0
            for a in range(p):
                shared += solved[other, a] * spread[a]
            covariance[row, other] = shared
            covariance[other, row] = shared


@kernel
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


@kernel
def weak_prior(raw: FloatArray, count: int, at_the_money: float, money_precision: float, prior: FloatArray) -> None:
    """Write the prior precision of SVI's parameters and of ``count`` residual coefficients."""
    deviation = math.sqrt(at_the_money)
    sizes = (at_the_money, raw[1] + deviation, 1.0, deviation, raw[4] + deviation)
    for a in range(SLICE_SIZE):
        prior[a, a] = 1.0 / (sizes[a] * sizes[a])
    for j in range(count):
        prior[SLICE_SIZE + j, SLICE_SIZE + j] += RIDGE * money_precision
    second_difference = (1.0, -2.0, 1.0)
    for j in range(count - 2):
        for a in range(3):
            for b in range(3):
                change = SMOOTHNESS * money_precision * second_difference[a] * second_difference[b]
                prior[SLICE_SIZE + j + a, SLICE_SIZE + j + b] += change


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

    The predictive sd is that of a mid the market may show there: the curve's own and the quotes' noise.
    """
    money_gradient = np.empty(PARAMETERS)
    for i in range(t.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        n, p = last - first, SLICE_SIZE + int(knots[i, 3])
        at_the_money = raw_svi_gradient(raw[i], 0.0, money_gradient)
        deviation = math.sqrt(at_the_money)
        z = np.empty(n)
        u = np.empty((n, p))
        typical = 0.0
        for j in range(n):
            vol_gradient(raw[i], knots[i], coefficients[i], t[i], k[first + j], u[j])
            z[j] = k[first + j] / deviation
            for a in range(p):
                u[j, a] /= noise[first + j]
            typical += noise[first + j] ** 2 / n
        prior = np.zeros((p, p))
        weak_prior(raw[i], p - SLICE_SIZE, at_the_money, 0.25 * at_the_money / t[i] / typical, prior)
        m = nodes.shape[0]
        targets = np.zeros((m + SLICE_SIZE, p))
        for a in range(SLICE_SIZE):
            targets[m + a, a] = 1.0
        covariance = np.empty((m + SLICE_SIZE, m + SLICE_SIZE))
        for j in range(m):
            places[i, j] = nodes[j] * deviation
            vol_gradient(raw[i], knots[i], coefficients[i], t[i], places[i, j], targets[j])
        sandwich_covariance(u, z, prior, COMMON_SHARE, CORRELATION_LENGTH, targets, covariance)
        for a in range(SLICE_SIZE):
            for b in range(SLICE_SIZE):
                covariances[i, a, b] = covariance[m + a, m + b]
        for j in range(m):
            sds[i, j] = math.hypot(math.sqrt(covariance[j, j]), local_noise(z, noise[first:last], nodes[j]))
