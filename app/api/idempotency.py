"""Idempotency-Key: a request sent again gets the answer it got, and a key stands for one request."""

import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from app.api.access import Caller
from app.api.problem import InvalidRequest, StillWorking
from app.service.admission import AnswerMemory, KeptAnswer
from app.service.ports import CorruptPayload, StoreUnavailable

HEADER: Final = "Idempotency-Key"
PATTERN: Final = "^[!-~]{1,255}$"
"""Visible ASCII characters."""

Answer = tuple[HTTPStatus, bytes]


def fingerprint_of(*parts: str | bytes) -> str:
    """Return what tells one request from another: the SHA-256 of its parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


async def answered_once(
    memory: AnswerMemory, caller: Caller, key: str, fingerprint: str, answer: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Return the answer kept for ``key``, else that of ``answer``, which is kept if it is one.

    Raises InvalidRequest where the key was used for another request, StillWorking while that same one is under way,
    and what ``answer`` raises, after which the key is free again.
    """
    kept = await memory.begin(caller.name, key, fingerprint)
    if kept is not None:
        return _repeated(kept, key, fingerprint)
    try:
        status, body = await answer()
    except BaseException:
        with contextlib.suppress(StoreUnavailable):  # then the key frees itself after a while
            await memory.forget(caller.name, key)
        raise
    with contextlib.suppress(StoreUnavailable, CorruptPayload):  # the chain is taken; again it is a duplicate
        await memory.keep(caller.name, key, KeptAnswer(fingerprint, status, body))
    return status, body


def _repeated(kept: KeptAnswer, key: str, fingerprint: str) -> Answer:
    if kept.fingerprint != fingerprint:
        raise InvalidRequest(f"{HEADER} {key!r} was used for another request: a new request needs a new key")
    if kept.status == 0:
        raise StillWorking(f"the request with {HEADER} {key!r} is still being answered")
    return HTTPStatus(kept.status), kept.body
