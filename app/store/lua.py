"""The scripts as they are sent: by SHA-1, and in full to a server that does not know them yet."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

_FOLDER: Final = resources.files("app.store") / "scripts"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and its SHA-1."""

    source: str
    sha1: str

    def by_sha1(self, keys: Sequence[str], arguments: Sequence[str | bytes]) -> tuple[str | bytes | int, ...]:
        """Return the command for a server that has run the script before."""
        return ("EVALSHA", self.sha1, len(keys), *keys, *arguments)

    def in_full(self, keys: Sequence[str], arguments: Sequence[str | bytes]) -> tuple[str | bytes | int, ...]:
        """Return the command for a server that answered NOSCRIPT."""
        return ("EVAL", self.source, len(keys), *keys, *arguments)


def _script(name: str) -> Script:
    source = f"{_FOLDER.joinpath('prelude.lua').read_text()}\n{_FOLDER.joinpath(name).read_text()}"
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


ANNOUNCE: Final = _script("announce.lua")
CLAIM: Final = _script("claim.lua")
EXTEND: Final = _script("extend.lua")
GROUP: Final = _script("group.lua")
HAND_BACK: Final = _script("hand_back.lua")
INGEST: Final = _script("ingest.lua")
KEEP_SCORES: Final = _script("keep_scores.lua")
PROMOTE: Final = _script("promote.lua")
QUARANTINE: Final = _script("quarantine.lua")
RECORD: Final = _script("record.lua")
REVIVE: Final = _script("revive.lua")
SETTLE: Final = _script("settle.lua")
STOOD_AT: Final = _script("stood_at.lua")
TAKE: Final = _script("take.lua")
