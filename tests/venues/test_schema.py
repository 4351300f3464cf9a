"""The schema the API publishes and the decoder behind it accept and refuse the same bodies."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from app.venues import VENUES
from app.venues.venue import Venue
from tests.venues.bodies import CHAIN, OPTION, QUOTE

TIMES: list[Any] = [1785607084320, "2026-08-01T17:58:04.320Z", 1785607084, 7258118400001, True, 1.5]
STRIKES: list[Any] = [60000, 0.5, 0, -1, 1e13, None, "60000", True]
PRICES: list[Any] = [0.01, 0, -1, None, 1e13, "0.01", False, [0.01]]

CORPUS: dict[str, list[Any]] = {
    "native": [
        None,
        [],
        {},
        CHAIN,
        *({key: value for key, value in CHAIN.items() if key != missing} for missing in CHAIN),
        *(CHAIN | {"as_of": time} for time in TIMES),
        *(CHAIN | {"quotes": [QUOTE | {"strike": strike}]} for strike in STRIKES),
        *(CHAIN | {"quotes": [QUOTE | {"bid": price}]} for price in PRICES),
        *(CHAIN | {"futures": [{"expiry": QUOTE["expiry"], "ask": price}]} for price in PRICES),
        *(CHAIN | {"underlying": name} for name in ("BTC", "btc", "BTC\n", "", "B" * 33, "SOL_USDC", 7)),
        *(CHAIN | {"source": name} for name in ("desk 7", "", "desk\n", "d" * 65, None)),
        *(CHAIN | {"premium": premium} for premium in ("coin", "quote", "usd", None)),
        *(CHAIN | {"sequence": sequence} for sequence in (0, 1, -1, 2**53, "1", None)),
        *(CHAIN | {"quotes": quotes} for quotes in ([], None, {}, [[]], [{}], [QUOTE, QUOTE])),
        *(CHAIN | {"quotes": [QUOTE | {"type": kind}]} for kind in ("C", "P", "c", None)),
        CHAIN | {"as_off": 1},
        CHAIN | {"quotes": [QUOTE | {"vol": 0.5}]},
    ],
    "deribit": [
        None,
        17,
        [],
        {},
        [OPTION],
        {"result": [OPTION]},
        {"result": OPTION, "jsonrpc": "2.0"},
        {"result": None},
        {"result": "BTC"},
        {"options": [OPTION], "futures": []},
        {"options": OPTION},
        {"error": {"message": "no", "code": 1}},
        {"error": {}},
        [{}],
        [{"instrument_name": ""}],
        [{"instrument_name": "B" * 65}],
        *([OPTION | {"bid_price": price}] for price in PRICES),
        *([OPTION | {"underlying_price": price}] for price in PRICES),
        *([OPTION | {"best_bid_amount": price}] for price in PRICES),
        *({"options": [OPTION], "as_of": time} for time in TIMES),
        *([OPTION | {"timestamp": time}] for time in (None, 1785607084320, 1785607084, "2026-08-01T17:58:04.320Z")),
    ],
}


def _decodes(venue: Venue, body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=venue.schema)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
def test_schema_and_decoder_agree(venue: Venue) -> None:
    (schema,), components = msgspec.json.schema_components([venue.schema], ref_template="#/$defs/{name}")
    validator = jsonschema_rs.validator_for({**schema, "$defs": components})
    verdicts = [(_decodes(venue, json.dumps(body).encode()), validator.is_valid(body)) for body in CORPUS[venue.name]]
    assert [body for body, (one, two) in zip(CORPUS[venue.name], verdicts, strict=True) if one != two] == []
    assert {accepted for accepted, _ in verdicts} == {True, False}
