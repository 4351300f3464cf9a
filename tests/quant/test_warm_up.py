"""What is compiled before the first chain is what a chain then calls, and is compiled once."""

import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from numba import typeof

from app.quant.smile import Smile, read_smiles
from app.quant.warm_up import known_chain, known_smiles

SIGNATURES_OF_KERNELS = """
import json, sys
from numba.core.registry import CPUDispatcher
from app.quant.warm_up import warm_up
warm_up()
kernels = {
    f"{name}.{key}": [str(signature) for signature in value.signatures]
    for name, module in sys.modules.items() if name.startswith("app.quant")
    for key, value in vars(module).items() if isinstance(value, CPUDispatcher)
}
print(json.dumps(kernels))
"""


def test_known_smiles_have_the_types_of_smiles_that_are_read() -> None:
    for known, read in zip(known_smiles(), read_smiles(known_chain()).smiles, strict=True):
        for name in (field.name for field in fields(Smile)):
            theirs = getattr(read, name)
            if isinstance(theirs, np.ndarray):
                assert typeof(getattr(known, name)) == typeof(theirs), name


@pytest.mark.timeout(600)  # where nothing is compiled yet
def test_no_kernel_is_compiled_for_two_signatures() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNATURES_OF_KERNELS], check=True, capture_output=True, text=True)
    signatures = json.loads(done.stdout)
    assert {"app.quant.models.surface_sqp.solve_surface", "app.quant.black._prices"} <= signatures.keys()
    assert {name: found for name, found in signatures.items() if len(found) > 1} == {}
