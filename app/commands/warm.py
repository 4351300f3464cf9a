"""Compile every numeric kernel once; numba keeps the machine code on disk, so later starts take a moment."""

import argparse
import sys
import time

from app.quant.compiled import uncached_kernels
from app.quant.warm_up import warm_up_stages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Run the stages, a line of progress each."""
    del arguments
    stages = list(warm_up_stages())
    print(f"Compiling the numeric kernels, once for this machine ({len(stages)} steps)", file=sys.stderr)
    for number, (what, compile_stage) in enumerate(stages, start=1):
        print(f"  [{number}/{len(stages)}] {what} ", end="", file=sys.stderr, flush=True)
        started = time.perf_counter()
        compile_stage()
        print(f"{time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    if uncached_kernels():
        print(f"No folder to cache them in: each process compiles {len(uncached_kernels())} itself.", file=sys.stderr)
    return 0
