"""SurfaceReader over the store: damaged surfaces are set aside when they are met, never returned."""

from collections.abc import Sequence

from app.service.ports import CorruptPayload, PublishedSurface
from app.store.keys import Keys
from app.store.links import Link
from app.store.lua import STOOD_AT
from app.store.quarantine import surface_quarantined
from app.store.records import Entry, entries_of, surface_of, version_of


class RedisSurfaceReader:
    """Where surfaces are read; see ports.SurfaceReader."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def newest(self, underlying: str) -> PublishedSurface | None:
        """Return the newest undamaged surface, or None."""
        kept = await self.history(underlying, before=None, limit=1)
        return kept[0] if kept else None

    async def underlyings(self) -> Sequence[str]:
        """Return the underlyings known to the store, sorted."""
        names = await self._link.run_all([("SMEMBERS", self._keys.underlyings(shard)) for shard in self._keys.shards])
        return sorted(name.decode() for shard in names for name in shard)

    async def history(self, underlying: str, *, before: int | None, limit: int) -> Sequence[PublishedSurface]:
        """Return up to ``limit`` undamaged surfaces with version < ``before``, newest first."""
        found: list[PublishedSurface] = []
        last = "+" if before is None else f"({before}-0"
        while len(found) < limit:
            wanted = limit - len(found)
            page = await self._link.run("XREVRANGE", self._keys.history(underlying), last, "-", "COUNT", wanted)
            found += await self.readable(underlying, page)
            if len(page) < wanted:
                break
            last = f"({version_of(page[-1][0])}-0"
        return found

    async def after(self, underlying: str, version: int, limit: int) -> Sequence[PublishedSurface] | None:
        """Return up to ``limit`` surfaces that follow ``version`` without a gap, oldest first.

        None when that cannot be told: ``version`` is unknown, or a surface between is no longer kept.
        """
        history = self._keys.history(underlying)
        page, last, newest_version = await self._link.run_all(
            [
                ("XRANGE", history, f"({version}-0", "+", "COUNT", limit),
                ("XREVRANGE", history, "+", "-", "COUNT", 1),
                ("HGET", self._keys.state(underlying), "version"),
            ]
        )
        if not page:
            known = version_of(last[0][0]) if last else int(newest_version or 0)
            return [] if version == known else None
        surfaces = await self.readable(underlying, page)
        expected = version
        for surface in surfaces:
            if surface.prev_version != expected:
                return None
            expected = surface.version
        return surfaces if len(surfaces) == len(page) else None

    async def as_of(self, underlying: str, at_ms: int) -> PublishedSurface | None:
        """Return the surface that stood at ``at_ms``, if kept and undamaged."""
        while True:
            page = entries_of(await self._link.call(STOOD_AT, [self._keys.history(underlying)], [str(at_ms)]))
            if not page:
                return None
            found = await self.readable(underlying, page)
            if found:
                return found[0]

    async def readable(self, underlying: str, page: Sequence[Entry]) -> list[PublishedSurface]:
        """Return the undamaged surfaces of ``page`` and put the others in quarantine."""
        surfaces = []
        for entry in page:
            try:
                surfaces.append(surface_of(underlying, entry))
            except CorruptPayload as corrupt:
                await self._link.call(*surface_quarantined(self._keys, underlying, entry, str(corrupt)))
        return surfaces
