"""The keys of callers as one process knows them: read together, at most once a second."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from app.service.access_key import AccessKey, KeyRing, recognised
from app.service.ports import CorruptPayload, StoreUnavailable

KNOWN_FOR_S: Final = 1.0
"""A revoked key works at most this much longer, a new one is known as soon; most requests ask the store nothing."""


class KnownKeys:
    """A copy of the ring. While the store is away the last one holds: nobody can revoke a key then either."""

    def __init__(self, ring: KeyRing, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ring = ring
        self._monotonic = monotonic
        self._keys: Mapping[str, AccessKey] | None = None
        self._read_at_s = -math.inf
        self._reading = asyncio.Lock()

    async def find(self, text: str) -> AccessKey | None:
        """Return the key with this text, or None. Raises StoreUnavailable while the ring was never read."""
        return recognised(await self._current(), text)

    async def has(self, key_id: str) -> bool:
        """Return True where the key with this id was not revoked. Raises StoreUnavailable as find."""
        return key_id in await self._current()

    async def _current(self) -> Mapping[str, AccessKey]:
        async with self._reading:
            if self._keys is None or self._monotonic() - self._read_at_s > KNOWN_FOR_S:
                return await self._read()
            return self._keys

    async def _read(self) -> Mapping[str, AccessKey]:
        try:
            self._keys = await self._ring.keys()
        except (StoreUnavailable, CorruptPayload):
            if self._keys is None:
                raise
        self._read_at_s = self._monotonic()
        return self._keys
