"""What compiling needs of others is not paid for by each start, and what is compiled does not depend on who asks."""

import subprocess
import sys
from typing import Any

from numba import njit

from app.quant.compiled import inner_kernel

IMPORT_A_WORKER = """
import sys
import app.commands.worker
from app.quant.warm_up import warm_up_queries
warm_up_queries()
print(*sorted({"scipy.linalg", "scipy.special", "scipy.optimize"} & set(sys.modules)))
"""


def test_a_worker_starts_without_the_slow_parts_of_scipy() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_A_WORKER], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_scipy_linalg_can_be_imported_afterwards() -> None:
    script = "import app.quant.compiled, scipy.linalg; print(scipy.linalg.det([[2.0, 0.0], [0.0, 3.0]]))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert float(done.stdout) == 6.0


def square_kernel() -> Any:
    @inner_kernel
    def square(x: float) -> float:
        return x * x + 0.5

    return square


def test_an_inner_kernel_is_compiled_for_python_only_when_python_calls_it() -> None:
    square = square_kernel()
    caller = njit(lambda x: square(x) + 1.0)
    assert caller(3.0) == 10.5
    assert len(square.for_kernels.signatures) == 1
    assert "for_python" not in vars(square)
    assert square(3.0) == 9.5


def test_an_inner_kernel_is_machine_code_only_in_kernels() -> None:
    square = square_kernel()
    assert njit(lambda x: square(x) + 1.0)(3.0) == 10.5
    (compiled,) = square.for_kernels.overloads.values()
    assert compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name) == 0


def test_a_kernel_takes_no_fastmath_of_its_callers() -> None:
    square = square_kernel()
    caller = njit(lambda x: square(x) + 1.0, fastmath={"contract"})
    assert caller(3.0) == 10.5
    assert "contract" in caller.inspect_llvm(caller.signatures[0])
    alone = square.for_kernels
    assert "fmul double" in alone.inspect_llvm(alone.signatures[0])
