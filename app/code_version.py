"""Which program made a surface: the package's version and a hash of the sources a fit depends on."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

VERSION: Final = "0.1.0"
"""As in pyproject.toml."""

ROOMS: Final = ("quant", "service")
"""Where a chain becomes a document; what is outside them cannot change its bytes."""

DIGITS: Final = 12
"""Hexadecimal digits of the hash: enough to tell any two programs that ever ran."""


@cache
def code_version() -> str:
    """Return ``<version>+<hash>``, read from the sources once a process."""
    sources = hashlib.sha256()
    root = Path(__file__).parent
    for source in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        sources.update(source.relative_to(root).as_posix().encode() + b"\0")
        sources.update(source.read_bytes() + b"\0")
    return f"{VERSION}+{sources.hexdigest()[:DIGITS]}"
