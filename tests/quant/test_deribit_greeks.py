"""Our greeks at Deribit's own mark vol, forward and time against the greeks Deribit sends: one record an instrument.

Its conventions, as its numbers show them: ``delta`` is by the forward and not net of the premium; ``gamma`` per dollar
of forward; ``vega`` in dollars per vol point; ``theta`` in dollars for the next day at a fixed forward, or for what is
left of the last one, and never more than the option is worth. Five decimals each, mark vols in hundredths of a point.
"""

import gzip
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from app.quant.arrays import FloatArray
from app.quant.black import BlackGreeks, black_greeks, black_price
from app.quant.year_fraction import MS_PER_YEAR

DATA = Path(__file__).parents[1] / "data"
ROUNDING: Final = 0.5e-5
VOL_ROUNDING: Final = 0.5e-4
FORWARD_LAG: Final = 1.5e-4
"""Relative: a greek is as old as its mark, and the forward beside it is the newest, a tick or two later."""
DAY: Final = 1.0 / 365.0

Convention = Callable[[BlackGreeks, FloatArray, FloatArray], FloatArray]
"""Greeks, prices and times to expiry -> what Deribit calls by this name."""


class Records:
    """All instruments of one underlying, as columns."""

    def __init__(self, name: str) -> None:
        line = json.loads(gzip.decompress((DATA / name).read_bytes()))
        self.records: list[dict[str, Any]] = line["result"]
        names = [each["instrument_name"].split("-") for each in self.records]
        self.vol = np.array([each["mark_iv"] for each in self.records]) / 100.0
        self.forward = np.array([each["underlying_price"] for each in self.records])
        self.strike = np.array([float(strike) for _, _, strike, _ in names])
        self.is_call = np.array([side == "C" for *_, side in names])
        expiry_ms = np.array(
            [1e3 * datetime.strptime(f"{day} 08 +0000", "%d%b%y %H %z").timestamp() for _, day, *_ in names]
        )
        self.t = (expiry_ms - np.array([each["timestamp"] for each in self.records])) / MS_PER_YEAR

    def ours(self, convention: Convention, *, vol: float = 0.0, forward: float = 0.0) -> FloatArray:
        """Return the greek of every instrument, at a vol and a forward moved by so much (the latter relative)."""
        at = self.forward * (1.0 + forward), self.strike, self.vol + vol, self.t, self.is_call
        return convention(black_greeks(*at), black_price(*at), self.t)

    def theirs(self, name: str) -> FloatArray:
        return np.array([each["greeks"][name] for each in self.records])


def delta(greeks: BlackGreeks, price: FloatArray, t: FloatArray) -> FloatArray:
    return greeks.delta


def gamma(greeks: BlackGreeks, price: FloatArray, t: FloatArray) -> FloatArray:
    return greeks.gamma


def vega(greeks: BlackGreeks, price: FloatArray, t: FloatArray) -> FloatArray:
    return greeks.vega * 0.01


def theta(greeks: BlackGreeks, price: FloatArray, t: FloatArray) -> FloatArray:
    return np.maximum(greeks.theta * np.minimum(DAY, t), -price)


def delta_net(greeks: BlackGreeks, price: FloatArray, t: FloatArray) -> FloatArray:
    return greeks.delta_net


def theta_of_a_whole_day(greeks: BlackGreeks, price: FloatArray, t: FloatArray) -> FloatArray:
    return greeks.theta * DAY


def allowed(records: Records, convention: Convention) -> FloatArray:
    """Return by how much the rounding of what Deribit sends may part the two."""
    by_vol = [records.ours(convention, vol=step) for step in (-VOL_ROUNDING, VOL_ROUNDING)]
    by_forward = [records.ours(convention, forward=step) for step in (-FORWARD_LAG, FORWARD_LAG)]
    return ROUNDING + 0.5 * np.abs(by_vol[1] - by_vol[0]) + 0.5 * np.abs(by_forward[1] - by_forward[0])


@pytest.fixture(
    scope="module", params=["deribit_btc_2023-04-12_5min_line.json.gz", "deribit_eth_2023-04-12_5min_line.json.gz"]
)
def records(request: pytest.FixtureRequest) -> Records:
    return Records(request.param)


@pytest.mark.parametrize("convention", [delta, gamma, vega, theta])
def test_greeks_agree_within_the_rounding_of_what_is_sent(records: Records, convention: Convention) -> None:
    error = np.abs(records.ours(convention) - records.theirs(convention.__name__))
    assert error.size > 450
    assert (error <= allowed(records, convention)).all(), (error / allowed(records, convention)).max()
    size = np.abs(records.theirs(convention.__name__)).max()
    assert np.median(error) <= ROUNDING + 1e-5 * size


@pytest.mark.parametrize(("name", "convention"), [("delta", delta_net), ("theta", theta_of_a_whole_day)])
def test_the_other_convention_would_be_seen(records: Records, name: str, convention: Convention) -> None:
    error = np.abs(records.ours(convention) - records.theirs(name))
    assert (error / allowed(records, convention)).max() > 20.0
