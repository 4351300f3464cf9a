"""Keys of callers in the store: read by every API process, changed by an operator's command."""

from collections.abc import Mapping
from typing import Final

import msgspec

from app.service.access_key import AccessKey
from app.service.ports import CorruptPayload
from app.store.blocking_link import BlockingLink
from app.store.keys import Keys
from app.store.links import Link

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(AccessKey).decode


class RedisKeyRing:
    """See service.access_key.KeyRing."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._name = keys.access_keys()

    async def keys(self) -> Mapping[str, AccessKey]:
        """Return every key by its id. Raises StoreUnavailable, and CorruptPayload for a record nobody can read."""
        return _decoded(await self._link.run("HGETALL", self._name))


class KeyCabinet:
    """The keys, for an operator's command (blocking). Every method raises StoreUnavailable."""

    def __init__(self, link: BlockingLink, keys: Keys) -> None:
        self._link = link
        self._name = keys.access_keys()

    def add(self, key: AccessKey) -> None:
        """Keep ``key``."""
        self._link.run("HSET", self._name, key.key_id, _encode(key))

    def kept(self) -> list[AccessKey]:
        """Return every key, oldest first."""
        return sorted(_decoded(self._link.run("HGETALL", self._name)).values(), key=lambda key: key.created_ms)

    def revoke(self, key_id: str) -> bool:
        """Forget the key with this id; False when there is none."""
        return bool(self._link.run("HDEL", self._name, key_id))

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


def _decoded(records: Mapping[bytes, bytes]) -> dict[str, AccessKey]:
    try:
        return {key_id.decode(): _decode(record) for key_id, record in records.items()}
    except msgspec.DecodeError as error:
        raise CorruptPayload(f"a stored key cannot be read: {error}") from error
