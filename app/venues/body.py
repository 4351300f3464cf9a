"""Bytes to typed values. Whatever is wrong with a body becomes InvalidChain with a JSON pointer to the place."""

import re
from typing import Any, Final, TypeVar

import msgspec

from app.quant.errors import InvalidChain

T = TypeVar("T")

SHOWN_CHARS: Final = 80
"""How much of an offending text an error message repeats."""

_PATH: Final = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_STEP: Final = re.compile(r"\.(?P<key>\w+)|\[(?P<index>[0-9]+)\]")


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return ``body`` decoded as JSON. Raises InvalidChain naming the rule, the place and the value found there."""
    # The decoder does not look inside strings it skips, so text that is not UTF-8 would pass unseen.
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidChain(f"byte {error.start} is {body[error.start]:#04x}: a body must be UTF-8") from error
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid_value(str(error), body) from error
    except msgspec.DecodeError as error:
        raise InvalidChain(f"not JSON (RFC 8259, no byte order mark, finite numbers): {error}") from error
    except RecursionError as error:
        raise InvalidChain("arrays or objects are nested too deeply to be an option chain") from error


def shortened(text: str) -> str:
    """Return the head of ``text``, as much as a message repeats."""
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


def _invalid_value(message: str, body: bytes) -> InvalidChain:
    """Return the error for a value of the wrong type or out of range, with a pointer instead of the decoder's path."""
    found = _PATH.search(message)
    if found is None:
        return InvalidChain(shortened(message))
    steps = [step["key"] or int(step["index"]) for step in _STEP.finditer(found["path"])]
    pointer = "".join(f"/{step}" for step in steps)
    # The decoder's sentence may itself repeat a text of the body, of any length.
    rule = shortened(message[: found.start()])
    return InvalidChain(f"{pointer or 'the body'} is {_shown(body, steps)}: {rule}", pointer)


def _shown(body: bytes, steps: list[str | int]) -> str:
    """Return the offending value as JSON, shortened."""
    try:
        value: Any = msgspec.json.decode(body)
        for step in steps:
            value = value[step]
        return shortened(msgspec.json.encode(value).decode())
    except (msgspec.MsgspecError, RecursionError, LookupError, TypeError):
        # Another fault of the body, or a key sent twice: generic decoding keeps the last, the typed one met the first.
        return "a value that cannot be shown"
