"""Answers compressed by gzip for clients that ask for it (RFC 9110, 12.5.3)."""

import gzip
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from app.api.context import ApiContext, json_response

SMALLEST_BYTES: Final = 1_024
"""Below this an answer fits one packet anyway."""
INLINE_BYTES: Final = 64 * 1024
"""Above this compressing takes a millisecond or more: it leaves the event loop."""
LEVEL: Final = 1
"""Numbers as text gain little from more."""


async def negotiated(request: Request, context: ApiContext, body: bytes, headers: dict[str, str]) -> Response:
    """Return ``body``, which is JSON already, compressed if the client takes that and it is worth it."""
    headers = headers | {"Vary": "Accept-Encoding"}
    if len(body) < SMALLEST_BYTES or not takes_gzip(request.headers.get("accept-encoding", "")):
        return json_response(body, headers=headers)
    if len(body) <= INLINE_BYTES:
        compressed = gzip.compress(body, LEVEL)
    else:
        compressed = await to_thread.run_sync(gzip.compress, body, LEVEL, limiter=context.parsing)
    return json_response(compressed, headers=headers | {"Content-Encoding": "gzip"})


def takes_gzip(accept_encoding: str) -> bool:
    """Return True where the header allows gzip, by name or by ``*``, with a weight above zero."""
    weights = {}
    for each in accept_encoding.lower().split(","):
        coding, _, weight = each.partition(";")
        weights[coding.strip()] = weight.replace(" ", "").removeprefix("q=") or "1"
    weight = weights.get("gzip", weights.get("*", "0"))
    return weight.strip("0.") != ""
