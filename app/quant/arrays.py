"""Array types of the quant room, and the one way an array becomes read-only."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def frozen(values: ArrayLike, dtype: Any = np.float64) -> NDArray[Any]:
    """Return a contiguous one-dimensional read-only copy of ``values``."""
    array: NDArray[Any] = np.array(values, dtype=dtype, ndmin=1)
    array.setflags(write=False)
    return array


def flat(values: ArrayLike, shape: tuple[int, ...], dtype: Any = np.float64) -> NDArray[Any]:
    """Return ``values`` broadcast to ``shape`` as a contiguous one-dimensional array; no copy where they are one."""
    array = np.asarray(values, dtype)
    if array.shape != shape or not array.flags.c_contiguous:
        filled = np.empty(shape, dtype)
        filled[...] = array
        array = filled
    return array.reshape(-1)
