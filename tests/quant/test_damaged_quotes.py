"""Quotes that no market makes are counted among all two-sided ones, and several degrade what is fitted to the rest."""

from dataclasses import replace

import numpy as np
import pytest

from app.quant.calibration import SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.damaged_quotes import damaged_share
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.maintenance import maintain_surface
from app.quant.smile import ExcludedExpiry, ExpiryStatus, read_smiles
from tests.quant.market import maintained_series, recorded_chain, recorded_chains


def crossed(chain: OptionChain, count: int) -> OptionChain:
    """``count`` two-sided quotes of the last expiry with bid and ask interchanged."""
    last = chain.expiries[-1]
    rows = np.flatnonzero((last.bid > 0.0) & (last.ask > 0.0))[:count]
    bid, ask = last.bid.copy(), last.ask.copy()
    bid[rows], ask[rows] = last.ask[rows], last.bid[rows]
    return replace(chain, expiries=(*chain.expiries[:-1], replace(last, bid=bid, ask=ask)))


def test_every_reason_is_damaged_spared_or_no_two_sided_quote() -> None:
    (smile, *_) = read_smiles(recorded_chains("BTC")[0]).smiles
    spoilt = replace(smile, dropped={"crossed": 2, "above_bound": 1, "in_the_money": 4, "one_sided": 9, "stale": 3})
    out = ExcludedExpiry(1, 0.1, ExpiryStatus.TOO_FEW_QUOTES, "", {"unconfirmed": 1, "expiry_excluded": 3})
    assert damaged_share([spoilt], [out]) == 4 / (4 + 4 + 3 + len(smile))
    assert damaged_share([replace(smile, dropped={"crossed": 1})], []) == 0.0
    assert damaged_share([replace(smile, dropped={"one_sided": 5})], []) == 0.0


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_no_recorded_chain_has_any(underlying: str) -> None:
    for chain, after in zip(recorded_chains(underlying), maintained_series(underlying), strict=True):
        read = read_smiles(chain)
        assert damaged_share(read.smiles, read.excluded) == 0.0
        assert "damaged" not in (after.fit.reason or "")


def test_several_degrade_a_first_surface_and_one_does_not() -> None:
    chain = recorded_chain("deribit_btc_chain_2026-08-01T175804Z.json.gz")
    assert maintain_surface(crossed(chain, 1)).fit.status is SurfaceStatus.OK
    found = maintain_surface(crossed(chain, 20)).fit
    assert found.status is SurfaceStatus.DEGRADED
    assert f"more than {DEFAULT_RULES.degraded_damaged:g}" in (found.reason or "")
    assert (found.reason or "").startswith("damaged: share of quotes that no market makes is 0.02")
