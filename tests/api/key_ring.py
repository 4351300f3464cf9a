"""Keys in memory, for tests."""

from collections.abc import Mapping

from app.api.access import Gate
from app.api.known_keys import KnownKeys
from app.service.access_key import AccessKey, Scope, issue
from app.service.ports import StoreUnavailable


class MemoryKeyRing:
    def __init__(self) -> None:
        self.kept: dict[str, AccessKey] = {}
        self.reads = 0
        self.away = False

    def make(self, *scopes: Scope, underlyings: set[str] | None = None) -> str:
        text, key = issue("desk", scopes, underlyings, now_ms=0)
        self.kept[key.key_id] = key
        return text

    async def keys(self) -> Mapping[str, AccessKey]:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("away")
        return dict(self.kept)


class StrictGate(Gate):
    """Trusts nobody by address, so that a test on this machine is a stranger."""

    def _is_trusted(self, host: str) -> bool:
        del host
        return False


def strict_gate(ring: MemoryKeyRing) -> Gate:
    return StrictGate(keys=KnownKeys(ring))
