"""A vendor's surface by delta, from the venue's mark vols of the same stamp: our deltas and times are the market's."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.quant.black import black_greeks
from app.quant.year_fraction import year_fraction

VENDOR = json.loads((Path(__file__).parents[1] / "data" / "amberdata_btc_delta_2024-04-01.json").read_text())
POINT = 0.01


def by_call_delta(expiry: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return forward deltas of the calls, ascending, and the mark vols at their strikes."""
    strike, vol = np.array(expiry["strike"]), np.array(expiry["mark_vol"])
    t = year_fraction(VENDOR["as_of_ms"], expiry["expiry_ms"])
    delta = black_greeks(expiry["forward"], strike, vol, t, True).delta
    order = np.argsort(delta)
    return delta[order], vol[order]


def differences() -> np.ndarray:
    """Return our vol less the vendor's at each of its nodes; a put's delta is its call's less one."""
    found = []
    for expiry in VENDOR["expiries"]:
        delta, vol = by_call_delta(expiry)
        nodes = np.array(expiry["nodes"])
        at = np.where(nodes[:, 0] > 0.0, nodes[:, 0], 1.0 + nodes[:, 0])
        found.append(np.interp(at, delta, vol) - nodes[:, 1])
    return np.concatenate(found)


def test_a_vendors_nodes_are_mark_vols_by_forward_delta() -> None:
    """All 173 nodes beyond two days: linear in the forward delta of the marks, forwards of each expiry, ACT/365."""
    difference = np.abs(differences())
    assert difference.size == 173
    assert difference.max() < 0.1 * POINT
    assert np.median(difference) < 0.001 * POINT


@pytest.mark.parametrize("hours", [-8, 8])
def test_another_expiry_time_would_not_do(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VENDOR, "as_of_ms", VENDOR["as_of_ms"] + hours * 3_600_000)
    assert np.median(np.abs(differences())) > 0.002 * POINT
