"""Value, derivatives and fourth-derivative bound of a published SVI slice, each with its rounding error.

A slice is raw SVI plus a residual; between two knots of the residual it is smooth, and this module gives there, at a
centre c, the Taylor coefficients of w together with sup |w''''| over [c - r, c + r]. The proofs in butterfly.py and
calendar_spread.py are Taylor bounds built on these numbers.

Written from the formulas of the published parameters alone: nothing here is shared with the code that fits or with
the curve that answers queries, so a slip in either shows up as a failed certificate.

Residual: with theta = asinh(k / q), x = theta / h, it is a cubic polynomial f in theta between knots
theta_j = h (first - 2 + j). From dk = q cosh(theta) dtheta, with C = cosh(theta), T = tanh(theta),
  s'    = f' / (q C)
  s''   = (f'' - T f') / (q C)^2
  s'''  = (f''' - 3 T f'' + (3 T^2 - 1) f') / (q C)^3
  s'''' = (-6 T f''' + (15 T^2 - 4) f'' + (9 T - 15 T^3) f') / (q C)^4.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel
from app.quant.elementary import natural_log

ROUNDING: Final = 64.0 * float(np.finfo(np.float64).eps)
"""Error of a computed w, w', w'' or w''' relative to the sum of the magnitudes of its terms.

Each is a sum of at most six products of at most eight factors, every factor (a difference of two published numbers,
a root, a quotient) being exact to one rounding: fewer than 30 roundings, each half a machine epsilon. For the
residual the sum of magnitudes is bounded by 4 max|c| times SVI's at-the-money magnitude, divided by h once per
derivative; its argument x is off by at most 4 epsilon (1 + |x| + 1/h), which moves each derivative by that times the
next one. A knot's position is off by the same amount; in a sliver that narrow the neighbouring cubic differs from
the one used by the jump of f''' (at most 16 max|c| / h^3) times a power of its width. Both are inside the factor.
"""


@inner_kernel
def slice_jet(
    raw: FloatArray, frame: FloatArray, cubics: FloatArray, piece: int, c: float, r: float
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Return w, w', w'', w''' at ``c``, sup |w''''| over [c - r, c + r] and the rounding errors of the first four.

    ``piece`` is the residual's piece that holds the whole cell, negative where there is no residual.
    """
    a, b, rho, m, sigma = raw[0], raw[1], raw[2], raw[3], raw[4]
    y = c - m
    s2 = sigma * sigma
    r2 = y * y + s2
    root = math.sqrt(r2)
    w = a + b * (rho * y + root)
    w1 = b * (rho + y / root)
    w2 = b * s2 / (r2 * root)
    w3 = -3.0 * w2 * y / r2
    nearest = max(abs(y) - r, 0.0)
    farthest = abs(y) + r
    n2 = nearest * nearest + s2
    shape = max(abs(4.0 - 5.0 * s2 / n2), abs(4.0 - 5.0 * s2 / (farthest * farthest + s2)))
    w4 = 3.0 * b * s2 * shape / (n2 * n2 * math.sqrt(n2))
    e0 = ROUNDING * (abs(a) + b * (abs(rho * y) + root))
    e1 = ROUNDING * b * (abs(rho) + 1.0)
    e2 = ROUNDING * w2
    e3 = ROUNDING * abs(w3)
    if piece < 0:
        return w, w1, w2, w3, w4, e0, e1, e2, e3

    q, h, first, magnitude = frame[0], frame[1], frame[2], frame[3]
    ratio = c / q
    cosh = math.sqrt(1.0 + ratio * ratio)
    tanh = ratio / cosh
    x = math.copysign(math.log(abs(ratio) + cosh), ratio) / h
    v = x - (first - 1.5 + piece)
    c0, c1, c2, c3 = cubics[piece, 0], cubics[piece, 1], cubics[piece, 2], cubics[piece, 3]
    f = c0 + v * (c1 + v * (c2 + v * c3))
    f1 = (c1 + v * (2.0 * c2 + v * 3.0 * c3)) / h
    f2 = (2.0 * c2 + v * 6.0 * c3) / (h * h)
    f3 = 6.0 * c3 / (h * h * h)
    u = 1.0 / (q * cosh)
    w += f
    w1 += f1 * u
    w2 += (f2 - tanh * f1) * u * u
    w3 += (f3 - 3.0 * tanh * f2 + (3.0 * tanh * tanh - 1.0) * f1) * u * u * u

    near = max(abs(c) - r, 0.0) / q
    far = (abs(c) + r) / q
    near_u = 1.0 / (q * math.sqrt(1.0 + near * near))
    t = min(far, 1.0)
    step = r * near_u
    m3 = abs(f3)
    m2 = abs(f2) + m3 * step
    m1 = abs(f1) + step * (abs(f2) + 0.5 * step * m3)
    w4 += (6.0 * t * m3 + max(4.0, 15.0 * t * t - 4.0) * m2 + min(9.0 * t, 6.0) * m1) * (near_u * near_u) ** 2

    e = ROUNDING * magnitude * (1.0 + abs(x) + 1.0 / h)
    g = 1.0 / h
    e0 += e
    e1 += e * g * u
    e2 += e * g * (1.0 + g) * u * u
    e3 += e * g * (1.0 + g) * (1.0 + g) * u * u * u
    return w, w1, w2, w3, w4, e0, e1, e2, e3


@inner_kernel
def slice_point(
    raw: FloatArray, frame: FloatArray, count: int, cubics: FloatArray, k: float
) -> tuple[float, float, float]:
    """Return w, w', w'' of the slice with its residual at any ``k``."""
    a, b, rho, m, sigma = raw[0], raw[1], raw[2], raw[3], raw[4]
    y = k - m
    r2 = y * y + sigma * sigma
    root = math.sqrt(r2)
    w = a + b * (rho * y + root)
    w1 = b * (rho + y / root)
    w2 = b * sigma * sigma / (r2 * root)
    if count == 0:
        return w, w1, w2
    q, h, first = frame[0], frame[1], frame[2]
    u2 = 1.0 / (q * q + k * k)
    u = math.sqrt(u2)
    x = math.copysign(math.log((abs(k) + 1.0 / u) / q), k) / h - first + 2.0
    if not 0.0 <= x < count + 3.0:
        return w, w1, w2
    piece = int(x)
    c0, c1, c2, c3 = cubics[piece, 0], cubics[piece, 1], cubics[piece, 2], cubics[piece, 3]
    v = x - piece - 0.5
    f1 = (c1 + v * (2.0 * c2 + v * 3.0 * c3)) / h
    f2 = (2.0 * c2 + v * 6.0 * c3) / (h * h)
    return w + c0 + v * (c1 + v * (c2 + v * c3)), w1 + f1 * u, w2 + (f2 - k * u * f1) * u2


@inner_kernel
def places(frame: FloatArray, k: FloatArray, u: FloatArray, x: FloatArray) -> None:
    """Write 1/sqrt(scale^2 + k^2) and where ``k`` lies on a residual, in pieces from its first knot."""
    q, h, first = frame[0], frame[1], frame[2]
    for i in range(k.shape[0]):
        root = math.sqrt(q * q + k[i] * k[i])
        u[i] = 1.0 / root
        x[i] = math.copysign(natural_log((abs(k[i]) + root) / q), k[i]) / h - first + 2.0


@inner_kernel
def slice_variances(
    raw: FloatArray, frame: FloatArray, count: int, cubics: FloatArray, k: FloatArray, w: FloatArray
) -> None:
    """Write w at many ``k``, as :func:`slice_points`."""
    a, b, rho, m, sigma = raw[0], raw[1], raw[2], raw[3], raw[4]
    n, s2 = k.shape[0], sigma * sigma
    for i in range(n):
        y = k[i] - m
        w[i] = a + b * (rho * y + math.sqrt(y * y + s2))
    if count == 0:
        return
    u, x = np.empty(n), np.empty(n)
    places(frame, k, u, x)
    for i in range(n):
        if 0.0 <= x[i] < count + 3.0:
            piece = int(x[i])
            v = x[i] - piece - 0.5
            w[i] += cubics[piece, 0] + v * (cubics[piece, 1] + v * (cubics[piece, 2] + v * cubics[piece, 3]))


@inner_kernel
def slice_points(
    raw: FloatArray,
    frame: FloatArray,
    count: int,
    cubics: FloatArray,
    k: FloatArray,
    w: FloatArray,
    w1: FloatArray,
    w2: FloatArray,
) -> None:
    """Write w, w', w'' at many ``k``, as :func:`slice_point`: in straight lines, so that several are done at once."""
    a, b, rho, m, sigma = raw[0], raw[1], raw[2], raw[3], raw[4]
    n, s2 = k.shape[0], sigma * sigma
    for i in range(n):
        y = k[i] - m
        r2 = y * y + s2
        root = math.sqrt(r2)
        w[i] = a + b * (rho * y + root)
        w1[i] = b * (rho + y / root)
        w2[i] = b * s2 / (r2 * root)
    if count == 0:
        return
    u, x = np.empty(n), np.empty(n)
    places(frame, k, u, x)
    h = frame[1]
    g = 1.0 / h
    for i in range(n):
        if not 0.0 <= x[i] < count + 3.0:
            continue
        piece = int(x[i])
        c0, c1, c2, c3 = cubics[piece, 0], cubics[piece, 1], cubics[piece, 2], cubics[piece, 3]
        v = x[i] - piece - 0.5
        f1 = (c1 + v * (2.0 * c2 + v * 3.0 * c3)) * g
        f2 = (2.0 * c2 + v * 6.0 * c3) * (g * g)
        w[i] += c0 + v * (c1 + v * (c2 + v * c3))
        w1[i] += f1 * u[i]
        w2[i] += (f2 - k[i] * u[i] * f1) * (u[i] * u[i])
