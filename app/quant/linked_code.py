# mypy: allow-untyped-calls
"""The code of a function that only kernels call: in the form that is linked into them, and in no other.

numba optimises every function that it compiles and turns it into machine code, and does both once more in each kernel
that the function is linked into. For what nothing but kernels calls, the first time was a quarter of all compiling.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _LinkedLibrary(JITCodeLibrary):
    """Code that is optimised and becomes machine code in each kernel that it is linked into, not by itself."""

    def _optimize_final_module(self) -> None:
        return

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    @property
    def codegen(self) -> "_LinkedLibrary":
        """Whom numba tells where the function's Python environment is."""
        return self

    def set_env(self, name: str, environment: object) -> None:
        """Forget it: code without an address has no place for it, and only code that makes Python objects looks."""


class LinkedCompiler(Compiler):
    """numba's compiler, which keeps what it compiles for linking alone."""

    def __init__(self, typing_context: Any, target_context: Any, library: Any, *rest: Any) -> None:
        del library  # numba has none ready for a function of ours
        super().__init__(typing_context, target_context, _LinkedLibrary(target_context.codegen(), "linked"), *rest)
