"""Kernels on disk are read back without a compiler, and others can still be compiled with them."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

KERNELS: Final = """
from app.quant.compiled import inner_kernel, kernel

@inner_kernel
def half(x):
    return 0.5 * x

@kernel
def total(values):
    if values.size == 0:
        raise ValueError("no values")
    partial = values.copy()
    for i in range(1, partial.size):
        partial[i] += partial[i - 1]
    return half(partial[-1])

@kernel
def twice(values):
    return 2.0 * total(values)
"""

CALL_TOTAL: Final = "import numpy as np, kernels; assert kernels.total(np.arange(4.0)) == 3.0"

CALL_TOTAL_WITHOUT_A_COMPILER: Final = """
from numba.core.cpu import CPUContext
def set_up(self):
    raise AssertionError("the compiler is set up")
CPUContext.refresh = set_up
"""

CALL_TWICE_AFTER_TOTAL: Final = f"{CALL_TOTAL}; assert kernels.twice(np.arange(4.0)) == 6.0"

REFUSE_NONE: Final = """
import numpy as np, kernels
try:
    kernels.total(np.zeros(0))
except ValueError as refused:
    print(refused)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module ``kernels``, and ``total`` compiled on disk."""
    (tmp_path / "kernels.py").write_text(KERNELS)
    run_in(tmp_path, CALL_TOTAL)
    return tmp_path


def run_in(folder: Path, script: str, *, named: bool = True) -> str:
    """Run ``script`` in a process of its own that keeps its kernels in ``folder``, or nowhere where it is not named."""
    kept = str(folder) if named else ""
    start = f"import os, sys; os.environ['NUMBA_CACHE_DIR'] = {kept!r}; sys.path.insert(0, {str(folder)!r})\n"
    done = subprocess.run([sys.executable, "-c", start + script], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_kernel_on_disk_needs_no_compiler(folder: Path) -> None:
    run_in(folder, CALL_TOTAL_WITHOUT_A_COMPILER + CALL_TOTAL)


def test_a_kernel_that_is_not_on_disk_does(folder: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_in(folder, CALL_TOTAL_WITHOUT_A_COMPILER + CALL_TWICE_AFTER_TOTAL)
    assert "the compiler is set up" in failed.value.stderr


def test_a_kernel_is_compiled_with_one_read_from_disk(folder: Path) -> None:
    run_in(folder, CALL_TWICE_AFTER_TOTAL)
    run_in(folder, CALL_TOTAL_WITHOUT_A_COMPILER + CALL_TWICE_AFTER_TOTAL)


def test_a_kernel_from_disk_raises_what_it_raised(folder: Path) -> None:
    assert run_in(folder, REFUSE_NONE) == "no values"


def test_without_a_named_folder_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(KERNELS)
    told = "; from app.quant.compiled import uncached_kernels; print(*uncached_kernels())"
    assert run_in(tmp_path, CALL_TOTAL + told, named=False) == "total twice"
    assert not list(tmp_path.rglob("*.nbi"))
