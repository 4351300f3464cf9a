"""Reading a request's body whole, within the limit, before anything looks at it."""

from typing import Final

from starlette.requests import Request

from app.api.problem import BodyTooLarge, Overloaded, UnsupportedBody

JSON_TYPES: Final = ("application/json", "text/json")

ROOM_BYTES: Final = 64 * 1024 * 1024
"""Of all bodies on their way in at once: eight of the largest, or hundreds of usual chains. Slow senders hold theirs
until their deadline, and many of them may not take the memory of the process."""


class BodyRoom:
    """Bytes of requests that are still being received, together."""

    def __init__(self, room_bytes: int = ROOM_BYTES) -> None:
        self._free = self._size = room_bytes

    def take(self, count: int) -> None:
        """Make room for so many bytes more. Raises Overloaded."""
        if count > self._free:
            raise Overloaded(f"bodies of {self._size} bytes are being received: there is no room for more")
        self._free -= count

    def give_back(self, count: int) -> None:
        """Free so many bytes."""
        self._free += count


async def json_body(request: Request, max_bytes: int, room: BodyRoom) -> bytes:
    """Return the body's bytes. Raises UnsupportedBody, Overloaded and BodyTooLarge, the last before reading it."""
    check_media_type(media_type_of(request))
    _check_encoding(request)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise BodyTooLarge(f"the body has {announced} bytes: at most {max_bytes} are read")
    body = bytearray()
    try:
        async for part in request.stream():
            room.take(len(part))
            body += part
            if len(body) > max_bytes:
                raise BodyTooLarge(f"the body has more than {max_bytes} bytes: at most {max_bytes} are read")
        return bytes(body)
    finally:
        room.give_back(len(body))


def media_type_of(request: Request) -> str:
    """Return the body's media type in lower case, without parameters; JSON where none is named."""
    return bare_media_type(request.headers.get("content-type", JSON_TYPES[0]))


def bare_media_type(text: str) -> str:
    """Return a media type in lower case, without parameters."""
    return text.partition(";")[0].strip().lower()


def check_media_type(media_type: str) -> None:
    """Raise UnsupportedBody for a type that is not JSON."""
    if media_type not in JSON_TYPES and not media_type.endswith("+json"):
        raise UnsupportedBody(f"content-type is {media_type!r}: it must be application/json")


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedBody(f"content-encoding is {encoding!r}: bodies are read uncompressed only")
