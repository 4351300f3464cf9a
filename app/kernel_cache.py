"""Where compiled kernels are kept: a folder named after all the sources they were compiled from.

numba renews a cached kernel when its own file changes, but not when a kernel it calls does; under one name for all
sources no kernel outlives the code it was compiled from.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Final

QUANT_ROOM: Final = Path(__file__).parent / "quant"
"""Where the kernels are written."""

NAME_LENGTH: Final = 16
"""Hexadecimal digits of a folder's name."""


def folder_of_this_code(parent: Path | None = None) -> Path:
    """Return the folder for the sources as they are now, in ``parent`` (default: beside them)."""
    sources = hashlib.sha256()
    for source in sorted(QUANT_ROOM.rglob("*.py")):
        sources.update(source.read_bytes())
    name = sources.hexdigest()[:NAME_LENGTH]
    chosen = parent or QUANT_ROOM / "__pycache__" / "kernels"
    return chosen if chosen.name == name else chosen / name


def forget_older_kernels(current: Path) -> None:
    """Delete the folders of other sources beside ``current``."""
    for folder in current.parent.glob("[0-9a-f]" * NAME_LENGTH):
        if folder != current:
            shutil.rmtree(folder)
