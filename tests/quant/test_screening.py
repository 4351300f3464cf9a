from itertools import pairwise

import numpy as np

from app.quant.chain import Premium
from app.quant.dropped import CODES, USABLE, Dropped
from app.quant.forward import table_forwards
from app.quant.quote_table import CLOCK_TOLERANCE_MS, LARGEST_NUMBER, quote_table
from app.quant.screening import MAX_AGE_MS, screened
from tests.quant.synthetic_chain import AS_OF_MS, Truth, chain, changed, quotes

RNG = np.random.default_rng(11)


def damaged(truth):
    """An expiry whose numbers were replaced here and there by what feeds send."""
    expiry = quotes(truth, Premium.COIN, say_forward=True)
    for column in ("bid", "ask", "forward"):
        for number in (np.nan, 0.0, -0.01, np.inf, 1e200):
            expiry = changed(expiry, column, int(RNG.integers(len(expiry))), number)
    for row in RNG.integers(0, len(expiry), 4).tolist():
        expiry = changed(expiry, "timestamp_ms", row, AS_OF_MS - int(RNG.choice([-60_000, 1_000, 2 * MAX_AGE_MS])))
        expiry = changed(expiry, "ask", row, float(expiry.bid[row]))
    return changed(expiry, "strike", int(RNG.integers(2, len(expiry))), float(expiry.strike[0]))


def numpy_countable(number):
    size = np.abs(number)
    return np.isnan(number) | (number == 0.0) | ((size <= LARGEST_NUMBER) & (size >= 1.0 / LARGEST_NUMBER))


def numpy_screened(table, forwards):
    code = np.full(len(table), USABLE)

    def drop(rows, reason):
        code[rows & (code == USABLE)] = CODES[reason]

    no_bid, no_ask = (np.isnan(side) | (side == 0.0) for side in (table.bid, table.ask))
    forward = forwards.value[table.expiry]
    drop(table.age_ms < -CLOCK_TOLERANCE_MS, Dropped.FUTURE)
    drop(~table.first, Dropped.DUPLICATE_STRIKE)
    drop(~table.countable, Dropped.NOT_FINITE)
    drop((table.bid < 0.0) | (table.ask < 0.0) | (table.forward <= 0.0), Dropped.NEGATIVE)
    drop(no_bid & no_ask, Dropped.NO_QUOTE)
    drop(no_bid | no_ask, Dropped.ONE_SIDED)
    drop((table.age_ms > MAX_AGE_MS) | forwards.row_stale, Dropped.STALE)
    drop(table.bid >= table.ask, Dropped.CROSSED)
    drop(np.where(table.is_call, table.strike < forward, table.strike > forward), Dropped.IN_THE_MONEY)
    for put, call in pairwise(np.flatnonzero((table.strike == forward) & (code == USABLE)).tolist()):
        if table.expiry[put] == table.expiry[call]:
            wider = call if table.ask[call] - table.bid[call] >= table.ask[put] - table.bid[put] else put
            code[wider] = CODES[Dropped.IN_THE_MONEY]
    return code


def test_the_kernels_say_what_numpy_says():
    reasons = set()
    for _ in range(40):
        expiries = [damaged(Truth(7.0)), damaged(Truth(30.0)), quotes(Truth(90.0, 100.0), Premium.COIN)]
        given = chain(Premium.COIN, *expiries)
        table = quote_table(given)
        columns = (table.strike, table.bid, table.ask, table.forward)
        assert (table.countable == np.logical_and.reduce([numpy_countable(column) for column in columns])).all()
        forwards = table_forwards(given, table)
        code = screened(table, forwards).code
        assert (code == numpy_screened(table, forwards)).all()
        reasons |= set(code.tolist())
    found = (Dropped.FUTURE, Dropped.DUPLICATE_STRIKE, Dropped.NOT_FINITE, Dropped.NEGATIVE, Dropped.ONE_SIDED)
    assert {CODES[each] for each in (*found, Dropped.STALE, Dropped.CROSSED, Dropped.IN_THE_MONEY)} <= reasons
