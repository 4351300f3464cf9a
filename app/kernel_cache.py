"""Where compiled kernels are kept: a folder named after all the sources they were compiled from.

numba renews a cached kernel when its own file changes, but not when a kernel it calls or a constant it froze does. So
the name covers every file of the room that has kernels and every file those take something from: no kernel outlives the
code it was compiled from, and what no kernel sees may change without a new compile.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

QUANT_ROOM: Final = Path(__file__).parent / "quant"
"""Where the kernels are written."""

NAME_LENGTH: Final = 16
"""Hexadecimal digits of a folder's name."""

_COMPILES: Final = "from app.quant.compiled import"
_TAKES_FROM: Final = re.compile(r"^from app\.quant\.([\w.]+) import", re.MULTILINE)


def folder_of_this_code(parent: Path | None = None) -> Path:
    """Return the folder for the sources as they are now, in ``parent`` (default: beside them)."""
    sources = hashlib.sha256()
    for source in _kernel_sources():
        sources.update(source.read_bytes())
    name = sources.hexdigest()[:NAME_LENGTH]
    chosen = parent or QUANT_ROOM / "__pycache__" / "kernels"
    return chosen if chosen.name == name else chosen / name


def forget_older_kernels(current: Path) -> None:
    """Delete the folders of other sources beside ``current``."""
    for folder in current.parent.glob("[0-9a-f]" * NAME_LENGTH):
        if folder != current:
            shutil.rmtree(folder)


def _kernel_sources() -> list[Path]:
    """Return the files with kernels and, from file to file, those they import from; sorted."""
    reached: set[Path] = set()
    waiting = [path for path in QUANT_ROOM.rglob("*.py") if _COMPILES in path.read_text()]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting.extend(_imported(path))
    return sorted(reached)


def _imported(path: Path) -> Iterator[Path]:
    for module in _TAKES_FROM.findall(path.read_text()):
        named = QUANT_ROOM.joinpath(*module.split("."))
        yield named / "__init__.py" if named.is_dir() else named.with_suffix(".py")
