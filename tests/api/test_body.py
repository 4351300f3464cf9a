"""Bodies on their way in: each within its limit, all of them within one room."""

from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request

from app.api.body import BodyRoom, json_body
from app.api.problem import BodyTooLarge, Overloaded

pytestmark = pytest.mark.anyio


class Disconnected(Exception):
    """The client went away."""


def request_of(*parts: bytes, breaks: bool = False) -> Request:
    messages: AsyncIterator[dict[str, object]]

    async def all_parts() -> AsyncIterator[dict[str, object]]:
        for part in parts:
            yield {"type": "http.request", "body": part, "more_body": True}
        if breaks:
            raise Disconnected
        yield {"type": "http.request", "body": b"", "more_body": False}

    messages = all_parts()

    async def receive() -> dict[str, object]:
        return await anext(messages)

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def test_the_room_is_shared_and_given_back_however_a_body_ends() -> None:
    room = BodyRoom(10)
    assert await json_body(request_of(b"12345", b"67890"), 10, room) == b"1234567890"
    with pytest.raises(BodyTooLarge, match="more than 8 bytes"):
        await json_body(request_of(b"12345", b"6789"), 8, room)
    with pytest.raises(Overloaded, match="10 bytes are being received"):
        await json_body(request_of(b"12345", b"678901"), 20, room)
    with pytest.raises(Disconnected):
        await json_body(request_of(b"12345", breaks=True), 20, room)
    room.take(10)
    with pytest.raises(Overloaded):
        await json_body(request_of(b"1"), 20, room)
    room.give_back(10)
    assert await json_body(request_of(b"1234567890"), 20, room) == b"1234567890"
