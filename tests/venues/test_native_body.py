"""A chain written in the native format reads back as the same numbers."""

import numpy as np
import pytest

from app.feeds.recording import SHIPPED, read_recorded
from app.quant.chain import ExpiryQuotes, OptionChain
from app.venues import VENUES
from app.venues.native_body import native_body

COLUMNS = ("strike", "is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward")


def same(a: ExpiryQuotes, b: ExpiryQuotes) -> bool:
    return a.expiry_ms == b.expiry_ms and all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name not in ("is_call", "timestamp_ms"))
        for name in COLUMNS
    )


def chains() -> list[OptionChain]:
    recorded = next(iter(read_recorded(SHIPPED[0])))
    example = VENUES["native"]
    return [VENUES[recorded.venue].parse(recorded.body, received_ms=0), example.parse(example.example, received_ms=0)]


@pytest.mark.parametrize("number", [0, 1])
def test_round_trip(number):
    chain = chains()[number]
    again = VENUES["native"].parse(native_body(chain), received_ms=0)
    for name in ("underlying", "source", "as_of_ms", "sequence", "premium"):
        assert getattr(again, name) == getattr(chain, name)
    assert len(again.expiries) == len(chain.expiries)
    assert all(same(a, b) for a, b in zip(again.expiries, chain.expiries, strict=True))
    assert repr(again.futures) == repr(chain.futures)
