"""Elementary functions a compiler can run on several lanes at once.

The mathematical library's ``log`` is a call and keeps a loop scalar; the functions here are straight-line
arithmetic. Every multiply-add is an explicit fused one and no fast-math flag is used, so IEEE 754 fixes each result:
an element has the same bits alone, in any place of a batch, and at any vector width. Hardware without fused
multiply-add gives the same bits slowly.
"""

import math
from collections.abc import Callable
from typing import Any, Final, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from app.quant.compiled import inner_kernel

LN2: Final = 0.6931471805599453
LN2_HIGH: Final = 0.6931471803691238
"""ln 2 rounded down to 32 bits, so that its product with an exponent is exact."""
LN2_LOW: Final = 1.9082149292705877e-10
"""ln 2 - LN2_HIGH."""
SQRT_HALF_BITS: Final = 0x3FE6A09E667F3BCD
"""The bits of sqrt(1/2), where the mantissa interval of natural_log starts."""
MANTISSA_BITS: Final = 52
ROUNDING_SHIFT: Final = 6755399441055744.0
"""1.5 * 2^52: added to a number below 2^51 it leaves the nearest integer in the lowest bits."""
EXPONENT_BIAS: Final = 1023
SMALLEST_EXPONENT: Final = -708.0
"""Where e^x is still a normal double."""
EXPONENTIAL_TERMS: Final = 14
"""Terms of e^r for |r| <= ln 2 / 2; the next one is below 5e-18."""
ATANH_TERMS: Final = 11
"""Terms of atanh(s) / s for |s| <= 0.1716; the next one is below 1e-18."""


Emitter = tuple[Any, Callable[..., Any]]
"""A numba signature and the function that emits its code."""


def _float_bits(_typing: Any, _x: Any) -> Emitter:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), code


def _float_from_bits(_typing: Any, _bits: Any) -> Emitter:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), code


def _multiply_add(_typing: Any, _a: Any, _b: Any, _c: Any) -> Emitter:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), code


float_bits = cast(Callable[[float], int], intrinsic(_float_bits))
"""The 64 bits of a float as an integer."""
float_from_bits = cast(Callable[[int], float], intrinsic(_float_from_bits))
"""The float that has these 64 bits."""
multiply_add = cast(Callable[[float, float, float], float], intrinsic(_multiply_add))
"""a b + c, rounded once."""


def polynomial(coefficients: tuple[float, ...]) -> Callable[[float], float]:
    """Return a compiled function of x for sum_j coefficients[j] x^j: Horner's rule, fused and unrolled."""
    *rest, last = (ir.Constant(ir.DoubleType(), c) for c in coefficients)

    def horner(_typing: Any, _x: Any) -> Emitter:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            total = last
            for c in reversed(rest):
                total = builder.fma(total, arguments[0], c)
            return total

        return types.float64(types.float64), code

    return cast(Callable[[float], float], intrinsic(horner))


def divided_difference(coefficients: tuple[float, ...]) -> Callable[[float, float], float]:
    """Return a compiled function of (x, y) for (p(x) - p(y)) / (x - y), p the polynomial with these coefficients.

    Synthetic division of p by (z - x) gives the quotient's coefficients one by one; a second Horner chain evaluates
    the quotient at y. Nothing is subtracted, so the result is as accurate where x is close to y as anywhere else.
    """
    _, *rest, last = (ir.Constant(ir.DoubleType(), c) for c in coefficients)

    def quotient(_typing: Any, _x: Any, _y: Any) -> Emitter:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            at_x, at_y = arguments
            division = total = last
            for c in reversed(rest):
                division = builder.fma(division, at_x, c)
                total = builder.fma(total, at_y, division)
            return total

        return types.float64(types.float64, types.float64), code

    return cast(Callable[[float, float], float], intrinsic(quotient))


_atanh_ratio: Final = polynomial(tuple(1.0 / (2 * j + 1) for j in range(1, ATANH_TERMS)))
"""(atanh(s) / s - 1) / s^2 as a function of s^2."""

_exponential: Final = polynomial(tuple(1.0 / math.factorial(j) for j in range(EXPONENTIAL_TERMS)))


@inner_kernel(forceinline=True)
def natural_log(x: float) -> float:
    """Return ln x for a positive normal double, within 2 units in the last place; relative near 1 too.

    x = 2^e m with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m - 1) / (m + 1).
    """
    bits = float_bits(x)
    exponent = (bits - SQRT_HALF_BITS) >> MANTISSA_BITS
    m = float_from_bits(bits - (exponent << MANTISSA_BITS))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    e = float(exponent)
    correction = multiply_add(e, LN2_LOW, 2.0 * s * (z * _atanh_ratio(z)))
    return e * LN2_HIGH + (2.0 * s + correction)


@inner_kernel(forceinline=True)
def natural_exp(x: float) -> float:
    """Return e^x for x <= 700 within 2 units in the last place; below SMALLEST_EXPONENT what it is there.

    x = n ln 2 + r with |r| <= ln 2 / 2.
    """
    x = max(x, SMALLEST_EXPONENT)
    shifted = x / LN2 + ROUNDING_SHIFT
    n = shifted - ROUNDING_SHIFT
    r = multiply_add(-n, LN2_LOW, multiply_add(-n, LN2_HIGH, x))
    return _exponential(r) * float_from_bits((float_bits(shifted) + EXPONENT_BIAS) << MANTISSA_BITS)


@inner_kernel(forceinline=True)
def inverse_sinh(x: float) -> float:
    """Return asinh x within 3e-16 or 2 units in the last place: near zero the error is absolute."""
    y = abs(x)
    return math.copysign(natural_log(y + math.sqrt(y * y + 1.0)), x)


@inner_kernel(forceinline=True)
def log_one_plus(x: float) -> float:
    """Return ln(1 + x) for x >= 0, relative to x: the rounding of 1 + x is put back to first order."""
    y = 1.0 + x
    return natural_log(y) + (x - (y - 1.0)) / y
