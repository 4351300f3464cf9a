import csv
import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from app.quant.chain import ExpiryQuotes, OptionChain, Premium
from app.quant.implied_vol import implied_vol
from app.quant.smile import read_smiles
from app.quant.year_fraction import MS_PER_YEAR
from app.venues import VENUES

DATA = Path(__file__).parents[1] / "data"


def recorded(name):
    body = gzip.decompress((DATA / name).read_bytes())
    return body, VENUES["deribit"].parse(body, received_ms=0)


@pytest.mark.parametrize(
    "name", ["deribit_btc_2023-04-12_5min_line.json.gz", "deribit_eth_2023-04-12_5min_line.json.gz"]
)
def test_recorded_vols_are_the_venues_own(name):
    """Deribit publishes bid_iv and ask_iv with two decimals in per cent, from a forward with two to four decimals."""
    body, source = recorded(name)
    told = {r["instrument_name"]: (r["bid_iv"] / 100, r["ask_iv"] / 100) for r in json.loads(body)["result"]}
    by_key = {_key(instrument): vols for instrument, vols in told.items()}
    read = read_smiles(source)
    assert len(read.smiles) == len(source.expiries)
    used = 0
    for smile in read.smiles:
        rounding = 5e-5 + 1e-4 * (smile.t < 0.01)
        for strike, is_call, bid, ask in zip(smile.strike, smile.is_call, smile.bid_vol, smile.ask_vol, strict=True):
            theirs = by_key[smile.expiry_ms, float(strike), bool(is_call)]
            assert (bid, ask) == pytest.approx(theirs, abs=1.5 * rounding)
            used += 1
        assert len(smile) + sum(smile.dropped.values()) == len(
            next(e for e in source.expiries if e.expiry_ms == smile.expiry_ms)
        )
    assert used > 200


def _key(instrument):
    _, expiry, strike, kind = instrument.split("-")
    day = np.datetime64(f"20{expiry[-2:]}-{_MONTHS.index(expiry[-5:-2]) + 1:02d}-{int(expiry[:-5]):02d}T08:00", "ms")
    return int(day.astype(np.int64)), float(strike), kind == "C"


_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def test_recorded_chain_without_forwards_is_read_whole():
    _, source = recorded("deribit_btc_chain_2026-08-01T175804Z.json.gz")
    read = read_smiles(source)
    assert len(read.smiles) == 13
    assert sum(len(s) for s in read.smiles) + sum(sum(s.dropped.values()) for s in read.smiles) == len(source)
    reasons = Counter()
    for smile in read.smiles:
        reasons.update(smile.dropped)
        assert smile.t == (smile.expiry_ms - source.as_of_ms) / MS_PER_YEAR
    assert set(reasons) <= {"one_sided", "no_quote", "in_the_money"}
    assert len(source) - reasons["one_sided"] - reasons["no_quote"] == 802


def spx():
    """SPX settles on the morning of its expiry, SPXW on the afternoon; UTC."""
    as_of = _ms("2026-01-30T21:00")
    settles = {"2026-02-27": "21:00", "2026-09-30": "20:00", "2026-12-18": "14:30"}
    expiries = {}
    with (DATA / "spx_2026-01-30.csv").open() as file:
        for row in csv.DictReader(file):
            stamp = _ms(f"{row['expiration']}T{settles[row['expiration']]}")
            expiries.setdefault(stamp, []).append(row)
    return OptionChain(
        "SPX", "cboe", "test", as_of, 0, Premium.QUOTE, tuple(_listed(s, expiries[s], as_of) for s in sorted(expiries))
    )


def _ms(time):
    return int(np.datetime64(time, "ms").astype(np.int64))


def _listed(expiry_ms, rows, as_of):
    unknown = np.full(len(rows), np.nan)
    return ExpiryQuotes(
        expiry_ms=expiry_ms,
        strike=np.array([float(r["strike"]) for r in rows]),
        is_call=np.array([r["option_type"] == "call" for r in rows]),
        bid=np.array([float(r["bid"]) for r in rows]),
        ask=np.array([float(r["ask"]) for r in rows]),
        bid_size=unknown,
        ask_size=unknown,
        timestamp_ms=np.full(len(rows), as_of),
        forward=unknown,
    )


def test_recorded_index_options_tell_forward_and_discount_factor_by_themselves():
    source = spx()
    read = read_smiles(source)
    assert len(read.smiles) == len(source.expiries) == 3
    for smile in read.smiles:
        assert 0.03 < -np.log(smile.discount_factor) / smile.t < 0.05
        assert smile.forward_sd < 1e-4 * smile.forward
    first, _, last = read.smiles
    carry = np.log(last.forward / first.forward) / (last.t - first.t)
    assert 0.01 < carry < -np.log(last.discount_factor) / last.t  # the rate less the dividends


def test_recorded_calls_and_puts_of_one_strike_have_one_vol():
    """An error dF of the forward parts call from put vol by dF / vega, so that they agree says F and D are right."""
    source = spx()
    for smile, expiry in zip(read_smiles(source).smiles, source.expiries, strict=True):
        near = np.abs(np.log(expiry.strike / smile.forward)) < 0.2 * np.sqrt(smile.t)
        two_sided = near & (expiry.bid > 0.0)
        price = 0.5 * (expiry.bid + expiry.ask) / smile.discount_factor
        vol = implied_vol(price, smile.forward, expiry.strike, smile.t, expiry.is_call).vol
        sides = [
            dict(zip(expiry.strike[m], vol[m], strict=True))
            for m in (two_sided & expiry.is_call, two_sided & ~expiry.is_call)
        ]
        gaps = [sides[0][k] - sides[1][k] for k in sides[0].keys() & sides[1].keys()]
        assert len(gaps) >= 10
        assert abs(np.median(gaps)) < 0.25 * np.median(smile.ask_vol - smile.bid_vol)
