"""Chains that ended their worker each time: looked at, and tried again, by an operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.store.blocking_link import BlockingLink
from app.store.keys import Keys, chain_order
from app.store.lua import REVIVE


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A chain given up; ``name`` identifies it. ``died_ms`` is when, by the store's clock."""

    name: str
    underlying: str
    as_of_ms: int
    sequence: int
    received_ms: int
    attempts: int
    died_ms: int
    chain_bytes: int


class Revival(StrEnum):
    """What became of a dead letter that was to be tried again."""

    QUEUED = "queued"
    STALE = "stale"
    """A newer chain of the underlying has come since; the letter stays."""
    BUSY = "busy"
    """The underlying is being worked on; the letter stays."""
    MISSING = "missing"


class DeadLetters:
    """The dead letters of all shards. Every method raises StoreUnavailable."""

    def __init__(self, link: BlockingLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def kept(self) -> Sequence[DeadLetter]:
        """Return the dead letters, oldest first."""
        letters = [
            _letter(shard, name.decode(), fields)
            for shard in self._keys.shards
            for name, fields in self._link.run("XRANGE", self._keys.dead(shard), "-", "+")
        ]
        return sorted(letters, key=lambda letter: letter.died_ms)

    def chain(self, name: str) -> bytes | None:
        """Return the encoded chain of a dead letter, or None if it is no longer kept."""
        found = self._found(name)
        return found[1][b"chain"] if found else None

    def retry(self, name: str) -> Revival:
        """Queue a dead letter again with fresh attempts; it counts as received once more."""
        found = self._found(name)
        if found is None:
            return Revival.MISSING
        keys = self._keys
        letter, fields = found
        answer = self._link.call(
            REVIVE,
            [
                keys.queue(keys.shard_of(letter.underlying)),
                keys.state(letter.underlying),
                keys.chain(letter.underlying),
                keys.dead(keys.shard_of(letter.underlying)),
            ],
            [
                name.partition("/")[2],
                letter.underlying,
                chain_order(letter.as_of_ms, letter.sequence),
                fields[b"chain"],
            ],
        )
        return Revival(answer.decode())

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _found(self, name: str) -> tuple[DeadLetter, Mapping[bytes, bytes]] | None:
        shard, _, entry = name.partition("/")
        if not shard.isdecimal() or int(shard) not in self._keys.shards:
            raise ValueError(f"dead letter {name!r} must be <shard>/<entry> with a shard of this deployment")
        for found, fields in self._link.run("XRANGE", self._keys.dead(int(shard)), entry, entry):
            return _letter(int(shard), found.decode(), fields), fields
        return None


def _letter(shard: int, entry: str, fields: Mapping[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        name=f"{shard}/{entry}",
        underlying=fields[b"underlying"].decode(),
        as_of_ms=int(fields[b"as_of"]),
        sequence=int(fields[b"sequence"]),
        received_ms=int(fields[b"received_ms"]),
        attempts=int(fields[b"attempts"]),
        died_ms=int(entry.partition("-")[0]),
        chain_bytes=len(fields[b"chain"]),
    )
