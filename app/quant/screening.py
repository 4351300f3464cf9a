"""Which quotes of a chain can be inverted to a vol and fitted to, and why the others cannot."""

from typing import Final

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.dropped import CODES, USABLE, Dropped, Verdicts
from app.quant.forward import ChainForwards
from app.quant.quote_table import CLOCK_TOLERANCE_MS, QuoteTable

MAX_AGE_MS: Final = 600_000
"""Age beyond which a quote says nothing of the market at ``as_of``: in ten minutes a forward moves several spreads."""

# A kernel holds plain integers.
_USABLE: Final = USABLE
_FUTURE: Final = CODES[Dropped.FUTURE]
_DUPLICATE_STRIKE: Final = CODES[Dropped.DUPLICATE_STRIKE]
_NOT_FINITE: Final = CODES[Dropped.NOT_FINITE]
_NEGATIVE: Final = CODES[Dropped.NEGATIVE]
_NO_QUOTE: Final = CODES[Dropped.NO_QUOTE]
_ONE_SIDED: Final = CODES[Dropped.ONE_SIDED]
_STALE: Final = CODES[Dropped.STALE]
_CROSSED: Final = CODES[Dropped.CROSSED]
_IN_THE_MONEY: Final = CODES[Dropped.IN_THE_MONEY]


def screened(table: QuoteTable, forwards: ChainForwards) -> Verdicts:
    """Return the reason of every quote of ``table`` that cannot be inverted; nothing is in the money of no forward."""
    verdicts = Verdicts(len(table))
    screen(
        table.expiry,
        table.strike,
        table.is_call,
        table.bid,
        table.ask,
        table.age_ms,
        table.forward,
        table.countable,
        table.first,
        forwards.row_stale,
        forwards.value,
        verdicts.code,
    )
    return verdicts


@kernel
def screen(
    expiry: IntArray,
    strike: FloatArray,
    is_call: BoolArray,
    bid: FloatArray,
    ask: FloatArray,
    age_ms: FloatArray,
    quoted_forward: FloatArray,
    countable: BoolArray,
    first: BoolArray,
    stale: BoolArray,
    forward: FloatArray,
    code: IntArray,
) -> None:
    """Write each row's reason, in the order an operator would look; of a put and a call at the money the wider goes."""
    at_the_money = -1
    for i in range(strike.shape[0]):
        money = strike[i] - forward[expiry[i]]
        bids, asks = abs(bid[i]) > 0.0, abs(ask[i]) > 0.0
        if age_ms[i] < -CLOCK_TOLERANCE_MS:
            code[i] = _FUTURE
        elif not first[i]:
            code[i] = _DUPLICATE_STRIKE
        elif not countable[i]:
            code[i] = _NOT_FINITE
        elif bid[i] < 0.0 or ask[i] < 0.0 or quoted_forward[i] <= 0.0:
            code[i] = _NEGATIVE
        elif not bids and not asks:
            code[i] = _NO_QUOTE
        elif not bids or not asks:
            code[i] = _ONE_SIDED
        elif age_ms[i] > MAX_AGE_MS or stale[i]:
            code[i] = _STALE
        elif bid[i] >= ask[i]:
            code[i] = _CROSSED
        elif (money < 0.0) if is_call[i] else (money > 0.0):
            code[i] = _IN_THE_MONEY
        elif money == 0.0:
            put, call, at_the_money = at_the_money, i, i
            if put >= 0 and expiry[put] == expiry[call]:
                code[call if ask[call] - bid[call] >= ask[put] - bid[put] else put] = _IN_THE_MONEY
        else:
            code[i] = _USABLE
