"""The band of vols in which one could trade, fees included."""

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.black import black_price
from app.quant.chain import Premium, TradingRules
from app.quant.implied_vol import implied_vol
from app.quant.quote_noise import trading_fee
from app.quant.smile import Smile


def executable_band(smile: Smile, premium: Premium, rules: TradingRules) -> tuple[FloatArray, FloatArray]:
    """Return the vols at which one could sell and buy after the fee: those of bid - fee and ask + fee.

    The fee widens the band and leaves the centre alone. Each quote is priced at the forward its ``k`` was taken to.
    """
    forward = smile.strike * np.exp(-smile.k)
    unit = forward if premium is Premium.COIN else 1.0 / smile.discount_factor

    def shifted(vol: FloatArray, sign: float) -> FloatArray:
        quoted = black_price(forward, smile.strike, vol, smile.t, smile.is_call)
        paid = quoted + sign * trading_fee(quoted / unit, rules) * unit
        return implied_vol(paid, forward, smile.strike, smile.t, smile.is_call).vol

    return shifted(smile.bid_vol, -1.0), shifted(smile.ask_vol, 1.0)
