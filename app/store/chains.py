"""ChainArchive over the store: what each kept surface was fitted to. Damaged chains are set aside when they are met."""

from app.service.ports import CorruptPayload, KeptChain
from app.store.codec import check_chain, open_state
from app.store.keys import Keys
from app.store.links import Link
from app.store.lua import STOOD_AT
from app.store.quarantine import kept_chain_quarantined
from app.store.records import Entry, entries_of, version_of


class RedisChainArchive:
    """See ports.ChainArchive."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def as_of(self, underlying: str, as_of_ms: int) -> KeptChain | None:
        """Return the chain with exactly this time that was fitted last, if kept. Raises CorruptPayload."""
        page = entries_of(await self._link.call(STOOD_AT, [self._keys.chains(underlying)], [str(as_of_ms)]))
        found = await self._kept(underlying, page[0]) if page else None
        return found if found and found.as_of_ms == as_of_ms else None

    async def of_version(self, underlying: str, version: int) -> KeptChain | None:
        """Return the chain of one surface, if kept. Raises CorruptPayload."""
        page = await self._link.run("XRANGE", self._keys.chains(underlying), f"{version}-0", f"{version}-0")
        return await self._kept(underlying, page[0]) if page else None

    async def _kept(self, underlying: str, entry: Entry) -> KeptChain:
        try:
            return _kept(underlying, entry)
        except CorruptPayload as corrupt:
            await self._link.call(*kept_chain_quarantined(self._keys, underlying, entry, str(corrupt)))
            raise


def _kept(underlying: str, entry: Entry) -> KeptChain:
    name, stored = entry
    try:
        as_of_ms, chain, state = int(stored[b"as_of"]), stored[b"chain"], open_state(stored[b"state"])
    except (KeyError, ValueError) as damaged:
        raise CorruptPayload(f"the kept chain {underlying} {version_of(name)} is damaged: {damaged!r}") from damaged
    check_chain(chain)
    return KeptChain(underlying, version_of(name), as_of_ms, chain, state)
