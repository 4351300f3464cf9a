"""Reading a request's body whole, within the limit, before anything looks at it."""

from typing import Final

from starlette.requests import Request

from app.api.problem import BodyTooLarge, UnsupportedBody

JSON_TYPES: Final = ("application/json", "text/json")


async def json_body(request: Request, max_bytes: int) -> bytes:
    """Return the body's bytes. Raises UnsupportedBody and BodyTooLarge, the latter before reading what is announced."""
    _check_format(request)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise BodyTooLarge(f"the body has {announced} bytes: at most {max_bytes} are read")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise BodyTooLarge(f"the body has more than {max_bytes} bytes: at most {max_bytes} are read")
    return bytes(body)


def media_type_of(request: Request) -> str:
    """Return the body's media type in lower case, without parameters; JSON where none is named."""
    return request.headers.get("content-type", JSON_TYPES[0]).partition(";")[0].strip().lower()


def _check_format(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedBody(f"content-encoding is {encoding!r}: bodies are read uncompressed only")
    media_type = media_type_of(request)
    if media_type not in JSON_TYPES and not media_type.endswith("+json"):
        raise UnsupportedBody(f"content-type is {media_type!r}: it must be application/json")
