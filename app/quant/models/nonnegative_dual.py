"""The nonnegative quadratic program min 1/2 l' M l - q' l, l >= 0: the dual of an SQP step.

Active set of Lawson and Hanson (1974, chapter 23) with an updated Cholesky factor. A ridge on M makes rows elastic:
contradictory rows give large multipliers instead of no step.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import ZERO, inner_kernel

ELASTICITY: Final = 1e-9
"""Ridge on the dual's unit diagonal."""
ENTERS: Final = 1e-9
"""Dual slack, in the units of the scaled rows, from which a row becomes active."""


@inner_kernel
def append_factor(M: FloatArray, L: FloatArray, active: IntArray, count: int) -> None:
    """Extend the Cholesky factor ``L`` of M[active, active] by its last member, active[count]."""
    row = active[count]
    for i in range(count + 1):
        total = M[row, active[i]]
        if i == count:
            total += ELASTICITY
        for j in range(i):
            total -= L[count, j] * L[i, j]
        L[count, i] = math.sqrt(max(total, 1e-13)) if i == count else total / L[i, i]


@inner_kernel
def solve_factored(L: FloatArray, rhs: FloatArray, n: int) -> None:
    """Solve L L' x = rhs in place for the leading n x n block."""
    for i in range(n):
        total = rhs[i]
        for j in range(i):
            total -= L[i, j] * rhs[j]
        rhs[i] = total / L[i, i]
    for i in range(n - 1, -1, -1):
        total = rhs[i]
        for j in range(i + 1, n):
            total -= L[j, i] * rhs[j]
        rhs[i] = total / L[i, i]


@inner_kernel
def most_violated(M: FloatArray, q: FloatArray, multipliers: FloatArray, active: IntArray, count: int, n: int) -> int:
    """Return the inactive row with the largest dual slack q - M l, or -1 when none exceeds ENTERS."""
    is_active = np.zeros(n, dtype=np.bool_)
    for i in range(count):
        is_active[active[i]] = True
    best = ENTERS
    entering = -1
    for row in range(n):
        if is_active[row]:
            continue
        slack = q[row]
        for i in range(count):
            slack -= M[row, active[i]] * multipliers[active[i]]
        if slack > best:
            best = slack
            entering = row
    return entering


@inner_kernel
def retreat(multipliers: FloatArray, trial: FloatArray, active: IntArray, count: int) -> int:
    """Walk from ``multipliers`` towards ``trial`` until one hits zero; drop what is at zero, return how many stay."""
    fraction = 1.0
    for i in range(count):
        if trial[i] <= 0.0:
            now = multipliers[active[i]]
            fraction = min(fraction, now / (now - trial[i] + 1e-300))
    kept = 0
    for i in range(count):
        row = active[i]
        multipliers[row] += fraction * (trial[i] - multipliers[row])
        if multipliers[row] > 1e-14:
            active[kept] = row
            kept += 1
        else:
            multipliers[row] = 0.0
    return kept


@inner_kernel
def nonnegative_dual(M: FloatArray, q: FloatArray, multipliers: FloatArray, n: int) -> None:
    """Write the minimiser l >= 0 of 1/2 l' M l - q' l; ``M`` symmetric positive semidefinite with unit diagonal."""
    active = np.empty(n, dtype=np.int64)
    L = np.empty((n, n))
    trial = np.empty(n)
    for i in range(n):
        multipliers[i] = 0.0
    count = ZERO
    for _ in range(3 * n + 10):
        entering = most_violated(M, q, multipliers, active, count, n)
        if entering < 0:
            return
        active[count] = entering
        append_factor(M, L, active, count)
        count += 1
        while count > 0:
            for i in range(count):
                trial[i] = q[active[i]]
            solve_factored(L, trial, count)
            positive = True
            for i in range(count):
                positive = positive and trial[i] > 0.0
            if positive:
                for i in range(count):
                    multipliers[active[i]] = trial[i]
                break
            count = retreat(multipliers, trial, active, count)
            for i in range(count):
                append_factor(M, L, active, i)
