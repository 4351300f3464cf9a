"""Promotions in the store: the model's name beside the underlying's state, from where every claim hands it on."""

from collections.abc import Sequence
from typing import Any, Final

from app.service.promotion import Promoting, Promotion, UnknownUnderlying
from app.store.blocking_link import BlockingLink
from app.store.event_records import fields_of_event
from app.store.keys import EVENTS_KEPT, Keys
from app.store.links import Link
from app.store.lua import PROMOTE, Script

ANY: Final = "*"
"""Promote whatever was promoted before; no model has this name."""

Call = tuple[Script, Sequence[str], Sequence[str | bytes]]


class RedisPromotions:
    """See promotion.Promotions."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def promote(self, underlying: str, promoting: Promoting) -> Promotion:
        """Promote the model. May be repeated. Raises UnknownUnderlying."""
        answer = await self._link.call(*_call(self._keys, underlying, promoting, ANY))
        return Promotion(underlying, promoting.model, _before(underlying, answer))


class RedisPromotionDesk:
    """See promotion.PromotionDesk."""

    def __init__(self, link: BlockingLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def promote(self, underlying: str, promoting: Promoting, *, instead_of: str | None = None) -> Promotion | None:
        """Promote the model. May be repeated. Raises UnknownUnderlying."""
        answer = self._link.call(*_call(self._keys, underlying, promoting, ANY if instead_of is None else instead_of))
        before = _before(underlying, answer)
        return Promotion(underlying, promoting.model, before) if answer[0] == b"promoted" else None

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


def _call(keys: Keys, underlying: str, promoting: Promoting, instead_of: str) -> Call:
    shard = keys.shard_of(underlying)
    return (
        PROMOTE,
        [keys.state(underlying), keys.events(shard), keys.counters(shard)],
        [underlying, promoting.model, instead_of, str(EVENTS_KEPT), *fields_of_event(promoting.event)],
    )


def _before(underlying: str, answer: Sequence[Any]) -> str | None:
    if answer[0] == b"unknown":
        raise UnknownUnderlying(f"there never was a chain of {underlying!r}")
    return answer[1].decode() or None
