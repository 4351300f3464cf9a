"""How this room compiles a kernel: numba, cached on disk where a cache can be written, in memory where not."""

import importlib
import sys
from collections.abc import Callable
from functools import cached_property, update_wrapper
from types import ModuleType
from typing import Any, Final, TypeVar, cast, overload

import numpy as np
from numba import njit
from numba.extending import typeof_impl

from app.quant.kernel_code import KernelCode
from app.quant.linked_code import LinkedCompiler


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

_SETTINGS: Final[dict[str, Any]] = {"error_model": "numpy", "nogil": True, "fastmath": False, "no_cfunc_wrapper": True}

_uncached: list[str] = []


@overload
def kernel(function: F, /) -> F: ...


@overload
def kernel(*, fastmath: bool | set[str] = ..., **options: Any) -> Callable[[F], F]: ...


def kernel(function: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
    """Compile ``function`` with numba: error_model="numpy", nogil, cached on disk.

    Without the entry for callers in C, which nobody uses here and which took an eighth of the time to compile. Without
    ``fastmath`` unless told: left open, a kernel takes that of the caller which happens to compile it first.

    Where no folder is named, or the one named is not writable, the kernel is compiled in memory and its name listed in
    :func:`uncached_kernels`, so that a process can say so once in its log. Extra ``options`` go to ``numba.njit``.
    """

    def compile_one(f: F) -> F:
        settings: dict[str, Any] = {**_SETTINGS, **options}
        compiled = njit(**settings)(f)
        try:
            compiled._cache = KernelCode(f)
        except RuntimeError:
            _uncached.append(f.__qualname__)
        return cast(F, compiled)

    return compile_one if function is None else compile_one(function)


class _InnerKernel:
    """A function that is compiled for kernels where a kernel calls it and, apart from that, for Python."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        update_wrapper(self, function)
        self._function, self._options = function, options

    def __call__(self, *arguments: Any) -> Any:
        return self.for_python(*arguments)

    @cached_property
    def for_kernels(self) -> Any:
        """The function as kernels call it."""
        settings: dict[str, Any] = {**_SETTINGS, **self._options, "no_cpython_wrapper": True}
        return njit(pipeline_class=LinkedCompiler, **settings)(self._function)

    @cached_property
    def for_python(self) -> Callable[..., Any]:
        """The same with what a call from Python needs."""
        return kernel(**self._options)(self._function)


@typeof_impl.register(_InnerKernel)
def _type_for_kernels(called: _InnerKernel, context: object) -> object:
    return cast(Any, typeof_impl)(called.for_kernels, context)


@overload
def inner_kernel(function: F, /) -> F: ...


@overload
def inner_kernel(*, fastmath: bool | set[str] = ..., **options: Any) -> Callable[[F], F]: ...


def inner_kernel(function: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
    """Compile ``function``, which only other kernels call, like :func:`kernel`, but for them alone.

    It is linked into those that call it and has neither machine code nor a file in the cache of its own, nor what numba
    adds for a call from Python; what it raises carries no values. Called from Python all the same, it is compiled once
    more.
    """

    def compile_one(f: F) -> F:
        return cast(F, _InnerKernel(f, options))

    return compile_one if function is None else compile_one(function)


def uncached_kernels() -> tuple[str, ...]:
    """Return the names of the kernels that have no disk cache in this process."""
    return tuple(_uncached)
