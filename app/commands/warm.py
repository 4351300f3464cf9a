"""Compile every numeric kernel once; numba keeps the machine code on disk, so later starts take a moment."""

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Final

from app.kernel_cache import forget_older_kernels
from app.quant.compiled import uncached_kernels
from app.quant.warm_up import warm_up_stages
from app.settings import use_kernels_of_this_code

COMPILERS: Final = 2
"""Processes that compile beside each other; each compiles for itself what is linked into its kernels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Run the stages, a line of progress each."""
    del arguments
    *beside, last = (name for name, _ in warm_up_stages())
    total = len(beside) + 1
    print(f"Compiling the numeric kernels, once for this machine ({total} steps)", file=sys.stderr, flush=True)
    for number, (name, seconds) in enumerate(_compiled(beside, last), start=1):
        print(f"  [{number}/{total}] {name} {seconds:.1f} s", file=sys.stderr, flush=True)
    forget_older_kernels(use_kernels_of_this_code())
    if uncached_kernels():
        print(f"No folder to cache them in: each process compiles {len(uncached_kernels())} itself.", file=sys.stderr)
    return 0


def _compiled(beside: list[str], last: str) -> Iterator[tuple[str, float]]:
    """Yield each stage's name and seconds as it is done; ``last`` starts when all of ``beside`` are."""
    compilers = min(COMPILERS, os.cpu_count() or 1)
    # A compiler makes millions of containers, few of them garbage: to look for it took a tenth of the time.
    with ProcessPoolExecutor(compilers, mp_context=get_context("spawn"), initializer=gc.disable) as pool:
        running = {pool.submit(_compile, name): name for name in beside}
        for done in as_completed(running):
            yield running[done], done.result()
        # What two compilers wrote over each other, and what only the whole path uses, is compiled here.
        yield last, pool.submit(_compile, last).result()


def _compile(name: str) -> float:
    """Run the stage called ``name`` and return the seconds it took."""
    started = time.perf_counter()
    dict(warm_up_stages())[name]()
    return time.perf_counter() - started
