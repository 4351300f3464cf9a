"""What travels from chain to chain about an underlying's challengers: their surfaces, their scores, and who rests.

Opaque bytes for the store: msgpack behind one byte of format version, as the state of a surface.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from app.quant.contest import Contest
from app.quant.scoring import MeanScore

VERSION: Final = b"\x01"


class Entrant(msgspec.Struct, frozen=True):
    """A challenger. ``document`` and ``state`` are of the surface it would have published last; empty before the first.

    ``failures`` counts chains it gave no surface for, ``failure`` says why the last. ``unended`` counts fits in a row
    that ended their worker; it then sits out ``rest`` chains.
    """

    document: bytes = b""
    state: bytes = b""
    since_ms: int | None = None
    mean: MeanScore = MeanScore()
    contest: Contest = Contest()
    failures: int = 0
    failure: str | None = None
    unended: int = 0
    rest: int = 0


class Board(msgspec.Struct, frozen=True):
    """The contest for one underlying as of the chain (``as_of_ms``, ``sequence``); ``mean`` is the champion's."""

    champion: str
    as_of_ms: int
    sequence: int
    entrants: dict[str, Entrant]
    since_ms: int | None = None
    mean: MeanScore = MeanScore()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Board).decode


def encode_board(board: Board) -> bytes:
    """Return the board's bytes; doubles are kept bit for bit."""
    return VERSION + _encode(board)


def decode_board(data: bytes) -> Board | None:
    """Return the board that was encoded; None for no board and for one that another version of the program wrote."""
    if data[:1] != VERSION:
        return None
    try:
        return _decode(data[1:])
    except msgspec.MsgspecError:
        return None


@dataclass(frozen=True, slots=True)
class KeptBoard:
    """A board as it is kept; ``trying`` names the challenger whose fit began and was not heard of again."""

    board: bytes = b""
    trying: str | None = None


class ScoreKeeper(Protocol):
    """Where a worker keeps boards (blocking). Every method raises StoreUnavailable."""

    def read(self, underlying: str) -> KeptBoard:
        """Return what is kept; empty bytes for nothing, or for what is damaged."""
        ...

    def begin(self, underlying: str, model: str) -> None:
        """Say that the fit of a challenger begins, so that one which ends its worker is known by it."""
        ...

    def keep(self, underlying: str, as_of_ms: int, sequence: int, *, board: bytes, report: bytes) -> bool:
        """Keep the board and its report, unless those of a newer chain are kept; False says that they were."""
        ...


@dataclass(frozen=True, slots=True)
class KeptScores:
    """An underlying's report (score_document.py), if any, and the model that was promoted, if any."""

    report: bytes | None
    promoted: str | None


class ScoreReader(Protocol):
    """Where scores are read (API side, asyncio). Raises StoreUnavailable, CorruptPayload when damaged."""

    async def scores(self, underlying: str) -> KeptScores:
        """Return what is kept of one underlying."""
        ...

    async def reports(self) -> dict[str, bytes]:
        """Return the undamaged reports of every underlying that has one."""
        ...
