"""Before anything imports numba: the kernels of these sources, and one numeric thread, as every process of ours has."""

from hypothesis import HealthCheck, settings

from app.settings import use_kernels_of_this_code, use_one_numeric_thread

use_one_numeric_thread()
use_kernels_of_this_code()
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
