"""Where compiled kernels are kept: a folder named after all the sources they were compiled from.

numba renews a cached kernel when its own file changes, but not when a kernel it calls or a constant it froze does. So
the name covers every file of the room that has kernels and every file those take something from: no kernel outlives the
code it was compiled from, and what no kernel sees may change without a new compile.
"""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Final

QUANT_ROOM: Final = Path(__file__).parent / "quant"
"""Where the kernels are written."""

NAME_LENGTH: Final = 16
"""Hexadecimal digits of a folder's name."""

_COMPILES: Final = b"from app.quant.compiled import"
_TAKES_FROM: Final = re.compile(rb"^from app\.quant\.([\w.]+) import", re.MULTILINE)


def folder_of_this_code(parent: Path | None = None) -> Path:
    """Return the folder for the sources as they are now, in ``parent`` (default: beside them)."""
    sources = _kernel_sources()
    name = hashlib.sha256(b"".join(sources[module] for module in sorted(sources))).hexdigest()[:NAME_LENGTH]
    chosen = parent or QUANT_ROOM / "__pycache__" / "kernels"
    return chosen if chosen.name == name else chosen / name


def forget_older_kernels(current: Path) -> None:
    """Delete the folders of other sources beside ``current``."""
    for folder in current.parent.glob("[0-9a-f]" * NAME_LENGTH):
        if folder != current:
            shutil.rmtree(folder)


def _kernel_sources() -> dict[str, bytes]:
    """Return the modules with kernels and, from module to module, those they import from."""
    written = {_module(path): path.read_bytes() for path in QUANT_ROOM.rglob("*.py")}
    reached: dict[str, bytes] = {}
    waiting = [module for module, source in written.items() if _COMPILES in source]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached[module] = source = written[module]
            waiting.extend(name.decode() for name in _TAKES_FROM.findall(source))
    return reached


def _module(path: Path) -> str:
    return ".".join(path.relative_to(QUANT_ROOM).with_suffix("").parts).removesuffix(".__init__")
