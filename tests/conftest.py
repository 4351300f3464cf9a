"""Before anything imports numba: the kernels of these sources, and one numeric thread, as every process of ours has."""

from app.settings import use_kernels_of_this_code, use_one_numeric_thread

use_one_numeric_thread()
use_kernels_of_this_code()
