"""What counts as following, and what is said about the rest."""

import json

import msgspec
import pytest

from app.api.event_queue import stream_event
from app.api.live_surface import Freshness, stream_message
from app.api.stream_protocol import Ack, StreamError, encode
from app.client.answers import HeardEvent
from app.client.stream_state import ChannelRejected, StreamState
from tests.api.documents import AS_OF_MS, published
from tests.api.memory_store import MemoryStore

FRESHNESS = Freshness(AS_OF_MS, 120.0)


def heard(state: StreamState, version: int, prev: int, conflated: int = 0, reset: bool = False):
    text = stream_message(published("BTC", version, prev), FRESHNESS, kind="update", conflated=conflated, reset=reset)
    found = state.take(text)
    return found and (found.surface.version, found.follows, found.missed)


def test_gaps_are_told():
    state = StreamState(["BTC"])
    assert heard(state, 100, 90) == ("100", True, 0), "the first follows nothing"
    assert heard(state, 110, 100) == ("110", True, 0)
    assert heard(state, 110, 100) is None
    assert heard(state, 150, 140, conflated=3) == ("150", False, 3)
    assert heard(state, 190, 180, reset=True) == ("190", False, None)


def test_a_new_connection_resumes_each_underlying():
    state = StreamState([])
    assert json.loads(state.subscription()) == {"op": "subscribe", "id": 1, "channels": ["surface.*"], "resume": {}}
    heard(state, 100, 90)
    assert json.loads(state.subscription())["resume"] == {"surface.BTC": "100"}


def test_refusals_are_raised():
    state = StreamState(["BTC"])
    assert state.take(encode(Ack(1, ["surface.BTC"], [], {}))) is None
    with pytest.raises(ChannelRejected, match="not for this"):
        state.take(encode(Ack(1, [], ["surface.BTC"], {"surface.BTC": "not for this key"})))
    with pytest.raises(ChannelRejected, match="no"):
        state.take(encode(StreamError("no")))
    with pytest.raises(msgspec.DecodeError):
        state.take("{")


def test_events_resume_after_the_last_one_heard():
    store = MemoryStore()
    for underlyings, channel in ((["BTC"], "events.BTC"), ([], "events.*")):
        state = StreamState(underlyings, events=True)
        assert channel in json.loads(state.subscription())["channels"]
        for event in (store.events.say("one"), store.events.say("two")):
            found = state.take(stream_event("events.BTC", event, missed=3))
            assert isinstance(found, HeardEvent)
            assert found.event is not None
            assert (found.event.message, found.missed) == (event.message, 3)
            assert json.loads(state.subscription())["resume"] == {channel: event.id}
        assert state.take(stream_event("events.BTC", None, reset=True)) == HeardEvent(None, None)
