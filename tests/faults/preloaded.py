"""Imported once by the process that worker processes are forked from: kernels are loaded, so a start takes no time."""

from app.quant.warm_up import warm_up
from tests.faults import worker_process

warm_up()

__all__ = ["worker_process"]
