"""Every kernel of a chain's path, run once with array bounds checked: a compiled write out of bounds is silent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHAIN = Path(__file__).parents[1] / "data" / "deribit_btc_chain_2026-08-01T175804Z.json.gz"


@pytest.mark.timeout(300)
def test_no_kernel_leaves_its_arrays(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    warm = "from app.quant.warm_up import warm_up; warm_up()"
    fit = (
        "import gzip, sys; from app.quant.calibration import calibrate_surface; from app.venues import VENUES;"
        "chain = VENUES['deribit'].parse(gzip.open(sys.argv[1]).read(), received_ms=0);"
        "fit = calibrate_surface(chain); calibrate_surface(chain, previous=fit.surface); print(fit.status)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", f"{warm}\n{fit}", str(CHAIN)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "ok"
