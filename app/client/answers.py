"""What the service says, as typed values. Fields that a newer service adds are passed over."""

from dataclasses import dataclass
from typing import Final

import msgspec

from app.service.correlation_document import Correlations
from app.service.document import SurfaceMessage
from app.service.event import EventMessage
from app.service.quotes_document import SurfaceQuotes

Column = list[float | None]


class ServiceError(Exception):
    """The service refuses: ``status`` and the problem's words (RFC 9457); ``pointer`` says where in the body."""

    def __init__(self, status: int, title: str, detail: str, pointer: str | None = None) -> None:
        super().__init__(f"{status} {title}: {detail}" + (f" (at {pointer})" if pointer else ""))
        self.status = status
        self.title = title
        self.detail = detail
        self.pointer = pointer


class ChainOutcome(msgspec.Struct, frozen=True):
    """What became of a chain: queued, coalesced, deferred, duplicate or stale."""

    underlying: str
    as_of: str
    sequence: int
    status: str


class SurfaceLine(msgspec.Struct, frozen=True):
    """One line of the list of surfaces."""

    underlying: str
    version: str
    as_of: str
    age_ms: int
    stale: bool
    status: str
    reason: str | None
    model: str
    forward: float | None
    atm_vol: float | None
    arbitrage_free: bool
    last_failure: str | None


class Evaluation(msgspec.Struct, frozen=True):
    """Columns of the query's length; None where a point has no answer. Greeks if asked for."""

    version: str
    as_of: str
    status: list[str]
    strike: Column
    forward: Column
    t: Column
    vol: Column
    vol_low: Column
    vol_high: Column
    price_coin: Column
    price_quote: Column
    delta: Column | None = None
    delta_net: Column | None = None
    gamma: Column | None = None
    vega: Column | None = None
    theta: Column | None = None
    vanna: Column | None = None
    volga: Column | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """A surface from the stream.

    ``follows`` is True where nothing lies between it and the one heard before of its underlying. ``missed`` counts what
    does: the service's own count, or None where the surfaces between are no longer kept and nobody can say.
    """

    surface: SurfaceMessage
    follows: bool
    missed: int | None


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """An event from the stream; ``missed`` counts those before it that were lost on the way.

    ``event`` is None, and ``missed`` too, where events were lost and nobody can say how many.
    """

    event: EventMessage | None
    missed: int | None


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457."""

    title: str
    detail: str = ""
    pointer: str | None = None


class HistoryPage(msgspec.Struct, frozen=True):
    """Kept surfaces, newest first."""

    surfaces: list[SurfaceMessage]
    next_cursor: str | None


class EventPage(msgspec.Struct, frozen=True):
    """Kept events, newest first."""

    events: list[EventMessage]
    next_cursor: str | None


class SurfaceLines(msgspec.Struct, frozen=True):
    """The list of surfaces."""

    surfaces: list[SurfaceLine]


read_surface: Final = msgspec.json.Decoder(SurfaceMessage).decode
read_outcome: Final = msgspec.json.Decoder(ChainOutcome).decode
read_quotes: Final = msgspec.json.Decoder(SurfaceQuotes).decode
read_page: Final = msgspec.json.Decoder(HistoryPage).decode
read_events: Final = msgspec.json.Decoder(EventPage).decode
read_lines: Final = msgspec.json.Decoder(SurfaceLines).decode
read_correlations: Final = msgspec.json.Decoder(Correlations).decode
read_evaluation: Final = msgspec.msgpack.Decoder(Evaluation).decode
_read_problem: Final = msgspec.json.Decoder(Problem).decode


def error_of(status: int, body: bytes) -> ServiceError:
    """Return the error that an answer with this status tells."""
    try:
        problem = _read_problem(body)
    except msgspec.DecodeError:  # something between us and the service
        return ServiceError(status, "no problem document", body[:200].decode(errors="replace"))
    return ServiceError(status, problem.title, problem.detail, problem.pointer)
