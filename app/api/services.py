"""What the API is built from: the ports, the venues and plain limits. The root that starts it fills this in."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from app.api.access import Gate
from app.quant.chain import OptionChain
from app.service.admission import AnswerMemory
from app.service.event import EventFeed, EventLog
from app.service.factor_record import FactorReader
from app.service.ports import ChainArchive, ChainIntake, Fleet, SurfaceReader, UpdateFeed
from app.service.promotion import Promotions
from app.service.score_board import ScoreReader
from app.venues import BODY_FORMATS
from app.venues.venue import Venue


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """A limit on everything a client can ask for."""

    max_body_bytes: int = 8 * 1024 * 1024
    """20,000 native quotes (the most a chain may hold) take 1.7 MB with bid and ask, 4 MB with every optional field.
    Within the receive deadline of server.py 8 MiB need 7 Mbit/s; BodyRoom bounds all bodies together."""
    stale_after_s: float = 120.0
    max_wait_ms: int = 30_000
    history_limit: int = 500
    parsing_threads: int = 2
    """Parsing holds the interpreter most of the time: more threads only take turns."""
    ws_connections: int = 2_000
    ws_connections_per_key: int = 64
    ws_strangers_per_address: int = 16
    """Connections of one address that have not shown a key yet."""
    ws_channels: int = 200
    ws_message_bytes: int = 64 * 1024
    ws_messages_per_s: float = 10.0
    ws_message_burst: int = 50
    ws_send_timeout_s: float = 10.0
    ws_close_timeout_s: float = 5.0
    ws_key_check_s: float = 5.0
    """How soon a stream ends after its key was revoked."""
    ws_auth_timeout_s: float = 5.0
    """For the first message of a client that cannot send headers."""


async def _nothing_to_close() -> None:
    return None


@dataclass(frozen=True, slots=True)
class ApiServices:
    """Ports and plain values; ``clock`` returns milliseconds UTC, ``close`` is awaited when the API ends."""

    intake: ChainIntake
    reader: SurfaceReader
    feed: UpdateFeed
    fleet: Fleet
    venues: Mapping[str, Venue]
    encode_chain: Callable[[OptionChain], bytes]
    clock: Callable[[], int]
    events: EventLog
    event_feed: EventFeed
    body_formats: Mapping[tuple[str, str], Venue] = field(default_factory=lambda: BODY_FORMATS)
    limits: ApiLimits = field(default_factory=ApiLimits)
    archive: ChainArchive | None = None
    decode_chain: Callable[[bytes], OptionChain] | None = None
    answers: AnswerMemory | None = None
    factors: FactorReader | None = None
    scores: ScoreReader | None = None
    promotions: Promotions | None = None
    gate: Gate = field(default_factory=Gate)
    close: Callable[[], Awaitable[None]] = _nothing_to_close
    version: str = "0.1.0"
