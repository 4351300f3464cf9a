"""Rate buckets and kept answers in the store; see service.admission."""

import hashlib
from typing import Final

import msgspec
import zstandard

from app.service.admission import KeptAnswer
from app.service.ports import CorruptPayload, StoreUnavailable
from app.store.keys import Keys
from app.store.links import Link
from app.store.lua import TAKE

WORK_LIMIT_S: Final = 60
"""How long a request counts as being worked on; a process that died over it blocks its key for no longer."""
ANSWER_KEPT_S: Final = 600
"""Longer than any client goes on trying. A surface takes some 10 kB here."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(KeptAnswer).decode


class RedisRateBuckets:
    """See RateBuckets."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def take(self, caller: str, wanted: int, *, rate_per_s: float, burst: int) -> tuple[int, float]:
        """Take up to ``wanted`` out of the caller's bucket; return how many, and seconds until there is one."""
        answer = await self._link.call(
            TAKE, [self._keys.rate(caller)], [repr(float(rate_per_s)), str(burst), str(wanted)]
        )
        return int(answer[0]), int(answer[1]) / 1e6


class RedisAnswerMemory:
    """See AnswerMemory. Callers' keys are hashed into names of one length."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def begin(self, caller: str, key: str, fingerprint: str) -> KeptAnswer | None:
        """Return what the key was used for before; None: it is new. Raises CorruptPayload for a damaged answer."""
        name = self._name(caller, key)
        working = _encode(KeptAnswer(fingerprint, 0, b""))
        for _ in range(2):  # it may expire between the two commands
            if await self._link.run("SET", name, working, "NX", "EX", WORK_LIMIT_S):
                return None
            kept = await self._link.run("GET", name)
            if kept is not None:
                return _opened(kept)
        raise StoreUnavailable("the kept answer expires faster than it is read")

    async def keep(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """Keep the answer."""
        packed = KeptAnswer(answer.fingerprint, answer.status, zstandard.ZstdCompressor(1).compress(answer.body))
        await self._link.run("SET", self._name(caller, key), _encode(packed), "EX", ANSWER_KEPT_S)

    async def forget(self, caller: str, key: str) -> None:
        """Give the key free."""
        await self._link.run("DEL", self._name(caller, key))

    def _name(self, caller: str, key: str) -> str:
        return self._keys.answer(hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest())


def _opened(kept: bytes) -> KeptAnswer:
    try:
        answer = _decode(kept)
        if answer.status == 0:
            return answer
        return KeptAnswer(answer.fingerprint, answer.status, zstandard.ZstdDecompressor().decompress(answer.body))
    except (msgspec.DecodeError, zstandard.ZstdError) as error:
        raise CorruptPayload(f"a kept answer cannot be read: {error}") from error
