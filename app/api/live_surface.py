"""A published surface as the API holds it: its bytes, decoded once, and what is sent about it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import msgspec

from app.quant.surface import VolSurface
from app.service.document import SurfaceDocument, decode_document
from app.service.evaluate import surface_of
from app.service.iso_time import iso_utc
from app.service.ports import CorruptPayload, PublishedSurface

CHANNEL_PREFIX: Final = "surface."

MessageType = Literal["snapshot", "update"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The clock surfaces are aged by: ``now_ms`` UTC, and the age above which one is stale."""

    now_ms: int
    stale_after_s: float

    def age_ms(self, published: PublishedSurface) -> int:
        """Return how long ago the market was as the surface says; negative when the venue's clock is ahead."""
        return self.now_ms - published.as_of_ms

    def is_stale(self, published: PublishedSurface) -> bool:
        """Return True where the surface is older than allowed."""
        return self.age_ms(published) > 1000.0 * self.stale_after_s


@dataclass(frozen=True)
class LiveSurface:
    """A surface, its document and, on demand, the pure surface it can be evaluated from."""

    published: PublishedSurface
    document: SurfaceDocument

    @cached_property
    def surface(self) -> VolSurface:
        """The surface that answers queries; rebuilt once."""
        return surface_of(self.document)

    @cached_property
    def channel(self) -> str:
        """The stream's channel this surface is sent on."""
        return CHANNEL_PREFIX + self.published.underlying

    def covers(self, as_of_ms: int, sequence: int) -> bool:
        """Return True where this surface is of the chain with that time and sequence, or of a newer one."""
        return (self.published.as_of_ms, self.published.sequence) >= (as_of_ms, sequence)


def live(published: PublishedSurface) -> LiveSurface:
    """Return ``published`` decoded. Raises CorruptPayload when its document is none of this version's."""
    try:
        return LiveSurface(published, decode_document(published.document))
    except msgspec.DecodeError as error:
        raise CorruptPayload(
            f"document of {published.underlying} version {published.version} cannot be read: {error}"
        ) from error


def surface_message(published: PublishedSurface, freshness: Freshness) -> bytes:
    """Return document.SurfaceMessage as JSON: the document's own bytes with the envelope's fields appended."""
    envelope = (
        f',"version":"{published.version}","prev_version":"{published.prev_version}"'
        f',"calibrated_at":"{iso_utc(published.calibrated_at_ms)}","age_ms":{freshness.age_ms(published)}'
        f',"stale":{"true" if freshness.is_stale(published) else "false"}}}'
    )
    return published.document[:-1] + envelope.encode()


def stream_message(
    published: PublishedSurface,
    freshness: Freshness,
    *,
    kind: MessageType,
    conflated: int = 0,
    reset: bool = False,
) -> str:
    """Return the stream's message about ``published``; ``conflated`` counts those it stands for that were not sent."""
    channel = msgspec.json.encode(CHANNEL_PREFIX + published.underlying).decode()
    return (
        f'{{"type":"{kind}","channel":{channel},"version":"{published.version}"'
        f',"prev_version":"{published.prev_version}","conflated":{conflated}{_RESET if reset else ""}'
        f',"data":{surface_message(published, freshness).decode()}}}'
    )


_RESET: Final = ',"reset":true'
