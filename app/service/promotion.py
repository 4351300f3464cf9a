"""Which model an underlying is fitted with, decided at run time: by a person, or by a contest that was won."""

from dataclasses import dataclass
from typing import Protocol

import msgspec

from app.quant.models import MODELS
from app.service.event import EventKind, Notice


class NotPromotable(ValueError):
    """A model that may not take over; ``pointer`` says where in a request's body it stood."""

    def __init__(self, message: str, pointer: str = "/model") -> None:
        super().__init__(message)
        self.pointer = pointer


class UnknownUnderlying(LookupError):
    """An underlying that never had a chain."""


class Promotion(msgspec.Struct, frozen=True):
    """``model`` is fitted from the next chain on; ``before`` was promoted earlier, null where the setting ruled."""

    underlying: str
    model: str
    before: str | None


@dataclass(frozen=True, slots=True)
class Promoting:
    """A promotion to be made, and the event that says why; it is recorded if the model did not rule already."""

    model: str
    event: Notice


class Promotions(Protocol):
    """Where an API process promotes (asyncio). Raises StoreUnavailable and UnknownUnderlying."""

    async def promote(self, underlying: str, promoting: Promoting) -> Promotion:
        """Let the underlying be fitted with the model from its next chain on; the event is recorded with it."""
        ...


class PromotionDesk(Protocol):
    """Where a worker or an operator's command promotes (blocking). Raises StoreUnavailable and UnknownUnderlying."""

    def promote(self, underlying: str, promoting: Promoting, *, instead_of: str | None = None) -> Promotion | None:
        """Do so; with ``instead_of`` only while that is still what was promoted ("": nothing), else return None."""
        ...


def promoting_by_hand(model: str, who: str) -> Promoting:
    """Return the promotion that a person asks for. Raises NotPromotable."""
    if model not in MODELS:
        raise NotPromotable(f"model {model!r} is not one of {', '.join(sorted(MODELS))}")
    if not MODELS[model].arbitrage_free:
        raise NotPromotable(
            f"model {model!r} promises no absence of arbitrage, so its surfaces must not be the published"
        )
    message = f"{model} takes over: promoted by {who}"
    return Promoting(model, Notice(EventKind.PROMOTION, message, {"model": model, "by": who}))
