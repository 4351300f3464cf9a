"""`replay --verify`: fit a stored chain again and show that the same surface comes out."""

import asyncio
import os
import sys

import msgspec

from app.commands.calibration_policy import calibration_policy
from app.service.iso_time import iso_utc
from app.service.ports import CorruptPayload, KeptChain, PublishedSurface, StoreUnavailable
from app.service.verify import verify
from app.settings import Settings, load
from app.store.codec import decode_chain
from app.store.connect import connect_async
from app.store.data_folder import running_url
from app.store.server_program import ServerNotStarted

Stored = tuple[PublishedSurface, KeptChain, PublishedSurface | None]


class NotKept(LookupError):
    """A surface, its chain or its predecessor is not in the store."""


def verify_stored(underlying: str, version: int | None) -> int:
    """Print whether the surface of ``version`` (None: the newest) comes out again; 0 if it does, byte for byte."""
    settings = load()
    try:
        surface, kept, previous = asyncio.run(_read(settings, underlying, version))
        result = verify(surface, kept, previous, decode_chain=decode_chain, policy=calibration_policy(settings))
    except (StoreUnavailable, ServerNotStarted) as error:
        print(error, file=sys.stderr)
        return os.EX_UNAVAILABLE
    except (NotKept, CorruptPayload, msgspec.DecodeError) as error:
        print(error, file=sys.stderr)
        return os.EX_DATAERR
    origin = f"from version {previous.version}" if previous else "from nothing: it is the first"
    about = f"{underlying} version {surface.version} as of {iso_utc(surface.as_of_ms)}, fitted {origin}"
    for difference in result.differences:
        print(f"{underlying} version {surface.version}: not as it was: {difference}")
    if result.is_same:
        print(f"{about}: the same {len(result.published)} bytes")
        return 0
    if result.again is None:
        print(f"{about}: no surface this time: {result.reason}")
    else:
        place = result.first_difference() or 0
        shown = slice(max(0, place - 40), place + 40)
        print(f"{about}: differs from byte {place} of {len(result.published)}")
        print(f"  published {result.published[shown].decode(errors='replace')}")
        print(f"  now       {result.again[shown].decode(errors='replace')}")
    return 1


async def _read(settings: Settings, underlying: str, version: int | None) -> Stored:
    store = connect_async(settings.redis_url or running_url(settings.data_dir), shards=settings.shards)
    try:
        before = None if version is None else version + 1
        found = await store.surfaces.history(underlying, before=before, limit=1)
        if not found or version not in (None, found[0].version):
            raise NotKept(
                f"no surface of {underlying!r}" + (f" with version {version}" if version else "") + " is kept"
            )
        surface = found[0]
        kept = await store.chains.of_version(underlying, surface.version)
        if kept is None:
            raise NotKept(f"the chain of {underlying} version {surface.version} is no longer kept")
        older = await store.surfaces.history(underlying, before=surface.version, limit=1)
        previous = older[0] if older else None
        if (previous.version if previous else 0) != surface.prev_version:
            raise NotKept(f"version {surface.prev_version}, from which {surface.version} was fitted, is no longer kept")
        return surface, kept, previous
    finally:
        await store.close()
