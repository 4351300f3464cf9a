"""How this room compiles a kernel: numba, cached on disk where a cache can be written, in memory where not."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, TypeVar, cast, overload

import numpy as np
from numba import njit


def _set_up_without_blas() -> None:
    """Set numba up without BLAS, which no kernel calls: to find it numba imports scipy.linalg, 0.4 s of each start."""
    if "scipy.linalg" in sys.modules:
        return
    absent = cast(dict[str, ModuleType | None], sys.modules)
    absent["scipy.linalg"] = None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules["scipy.linalg"]


_set_up_without_blas()

F = TypeVar("F", bound=Callable[..., Any])

ZERO: Final = cast(int, np.int64(0))
"""Zero as numba's int64: called with the literal 0, numba would compile the callee once more."""

_uncached: list[str] = []


@overload
def kernel(function: F, /) -> F: ...


@overload
def kernel(*, fastmath: bool | set[str] = ..., **options: Any) -> Callable[[F], F]: ...


def kernel(function: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
    """Compile ``function`` with numba: error_model="numpy", nogil, cached on disk.

    Without the entry for callers in C, which nobody uses here and which took an eighth of the time to compile.

    numba refuses ``cache=True`` outright where it finds no writable directory; the kernel is then compiled in
    memory and its name listed in :func:`uncached_kernels`, so that a process can say so once in its log.
    Extra ``options`` go to ``numba.njit``.
    """

    def compile_one(f: F) -> F:
        settings: dict[str, Any] = {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True, **options}
        try:
            return cast(F, njit(cache=True, **settings)(f))
        except RuntimeError:
            _uncached.append(f.__qualname__)
            return cast(F, njit(**settings)(f))

    return compile_one if function is None else compile_one(function)


def uncached_kernels() -> tuple[str, ...]:
    """Return the names of the kernels that have no disk cache in this process."""
    return tuple(_uncached)
