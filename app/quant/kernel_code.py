# mypy: allow-untyped-calls
"""The compiled code of a kernel on disk: numba's own format, read back without what only a compiler needs.

numba reads a function back as if others were about to be compiled with it: it sets its whole compiler up and parses
the code in the form that is linked into others. That was three quarters of the time to the first fit of a process
that finds every kernel on disk. Here both wait until something is compiled.
"""

from collections.abc import Callable
from typing import Any, Final

from llvmlite.binding import parse_bitcode  # type: ignore[import-untyped]
from numba import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompileResult
from numba.core.runtime.nrt import rtsys

_FIELDS: Final[tuple[str, ...]] = CompileResult._fields


class _ReadLibrary(JITCodeLibrary):
    """Machine code read from disk, loaded at once; parsed only where a kernel that is compiled later calls it."""

    def __init__(self, codegen: Any, serialized: tuple[str, str, tuple[bytes, bytes]]) -> None:
        name, _, (machine_code, self._bitcode) = serialized
        super().__init__(codegen, name)
        self.enable_object_caching()
        self._set_compiled_object(machine_code)
        self._finalize_final_module()

    def _get_module_for_linking(self) -> Any:
        if self._shared_module is None:
            self._shared_module = parse_bitcode(self._bitcode)
        return self._shared_module


class _KernelFormat(CompileResultCacheImpl):
    """A compiled kernel as bytes and back."""

    def rebuild(self, target_context: Any, payload: tuple[Any, ...]) -> Any:
        """Return what numba makes of ``payload``, with a library that is not parsed."""
        serialized, described, environment, signature, object_mode, lifted, annotation, hooks, environments = payload
        for hook in hooks:
            hook()
        codegen = target_context.codegen()
        library = _ReadLibrary(codegen, serialized)
        codegen._engine._defined_symbols.add(described.llvm_cpython_wrapper_name)
        for each in environments:
            codegen.set_env(each.env_name, each)
        known = {
            "target_context": target_context,
            "typing_context": target_context.typing_context,
            "library": library,
            "environment": environment,
            "entry_point": target_context.get_executable(library, described, environment),
            "fndesc": described,
            "type_annotation": annotation,
            "signature": signature,
            "objectmode": object_mode,
            "lifted": lifted,
            "reload_init": hooks,
            "referenced_envs": environments,
        }
        return CompileResult(*(known.get(field) for field in _FIELDS))


class KernelCode(FunctionCache):
    """The code of one kernel, for each signature it is called with.

    Raises RuntimeError where no folder is named or the one named is not writable. numba's own folders do not do: they
    renew a kernel when its file changes, not when one that it calls does, and old and new code together damage memory.
    """

    _impl_class = _KernelFormat

    def __init__(self, function: Callable[..., Any]) -> None:
        if not config.CACHE_DIR:  # type: ignore[attr-defined]
            raise RuntimeError("no folder for the kernels of this code is named (NUMBA_CACHE_DIR is empty)")
        super().__init__(function)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled kernel, None where it is not on disk: numba's compiler then sets itself up."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)
