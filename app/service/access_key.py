"""Keys that let callers in: what one allows, how it is made, and how it is recognised without being kept."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

PREFIX: Final = "smk"
"""Begins every key, so that scanners of code and logs recognise one."""
ID_BYTES: Final = 4
SECRET_BYTES: Final = 32
"""256 random bits: there is nothing to guess, so a fast hash is enough."""


class Scope(StrEnum):
    """What a caller may do."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What is kept of a key. ``digest`` is the SHA-256 of its text, hexadecimal; ``underlyings`` None allows all."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    underlyings: frozenset[str] | None
    created_ms: int
    digest: str


class KeyRing(Protocol):
    """Where an API process reads the keys (asyncio)."""

    async def keys(self) -> Mapping[str, AccessKey]:
        """Return every key by its id. Raises StoreUnavailable."""
        ...


def issue(
    name: str, scopes: Collection[Scope], underlyings: Collection[str] | None, *, now_ms: int
) -> tuple[str, AccessKey]:
    """Return a new key's text, which is shown once, and what is kept of it. Raises ValueError for an empty key."""
    if not name or not scopes:
        raise ValueError(f"a key has a name and at least one scope, got {name!r} and {sorted(scopes)}")
    if underlyings is not None and not underlyings:
        raise ValueError("an allow-list of underlyings names at least one")
    key_id = secrets.token_hex(ID_BYTES)
    text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    allowed = None if underlyings is None else frozenset(underlyings)
    return text, AccessKey(key_id, name, frozenset(scopes), allowed, now_ms, digest_of(text))


def recognised(keys: Mapping[str, AccessKey], text: str) -> AccessKey | None:
    """Return the key whose text this is. The time it takes says nothing about a kept digest."""
    parts = text.split("_", 2)
    key = keys.get(parts[1]) if len(parts) == 3 else None
    expected = key.digest if key else "0" * 64
    return key if hmac.compare_digest(digest_of(text), expected) else None


def digest_of(text: str) -> str:
    """Return the SHA-256 of a key's text, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
