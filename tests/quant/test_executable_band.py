import numpy as np
import pytest

from app.quant.black import black_price
from app.quant.chain import Premium, TradingRules
from app.quant.executable_band import executable_band
from app.quant.smile import read_smiles
from tests.quant.synthetic_chain import Truth, chain, quotes


@pytest.mark.parametrize("premium", Premium)
def test_the_fee_moves_each_side_outward_by_its_price(premium):
    truth = Truth(30.0, discount=1.0 if premium is Premium.COIN else 0.99)
    (smile,) = read_smiles(chain(premium, quotes(truth, premium, say_forward=True))).smiles
    rules = (
        TradingRules(fee=0.0003, fee_cap=0.125) if premium is Premium.COIN else TradingRules(fee=0.02, fee_cap=0.125)
    )
    low, high = executable_band(smile, premium, rules)
    assert (low < smile.bid_vol).all()
    assert (high > smile.ask_vol).all()
    unit = 1.0 / truth.forward if premium is Premium.COIN else smile.discount_factor

    def paid(vol):
        return black_price(truth.forward, smile.strike, vol, smile.t, smile.is_call) * unit

    for inner, outer in ((smile.bid_vol, low), (smile.ask_vol, high)):
        fee = np.minimum(rules.fee, rules.fee_cap * paid(inner))
        assert np.abs(paid(outer) - paid(inner)) == pytest.approx(fee, rel=1e-6)


def test_deribits_fee_in_vol_points():
    """F=50000, K=60000, 30 days, 75 %: 0.0003 coin a side is 0.345 vol points to first order."""
    truth = Truth(30.0, forward=50_000.0, vol=0.75)
    strikes = np.linspace(30_000.0, 80_000.0, 11)
    flat = quotes(truth, Premium.COIN, strikes=strikes, say_forward=True)
    (smile,) = read_smiles(chain(Premium.COIN, flat)).smiles
    _, high = executable_band(smile, Premium.COIN, TradingRules(fee=0.0003, fee_cap=0.125))
    at = smile.strike == 60_000.0
    assert (high - smile.ask_vol)[at] == pytest.approx([0.00345], rel=0.03)


def test_without_a_fee_the_band_is_the_quote():
    (smile,) = read_smiles(chain(Premium.COIN, quotes(Truth(30.0), Premium.COIN))).smiles
    low, high = executable_band(smile, Premium.COIN, TradingRules())
    assert low == pytest.approx(smile.bid_vol, rel=1e-9)
    assert high == pytest.approx(smile.ask_vol, rel=1e-9)
