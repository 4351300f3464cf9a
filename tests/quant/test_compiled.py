"""What compiling needs of others is not paid for by each start."""

import subprocess
import sys

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
