"""Measurements of the engine and the service, run by hand."""

from app.settings import use_kernels_of_this_code, use_one_numeric_thread

# Before numba is imported: its own folders hold kernels of older code, which others' kernels call at their peril.
use_one_numeric_thread()
use_kernels_of_this_code()
