from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.calibration import SurfaceStatus
from app.quant.errors import InvalidQuery
from app.quant.maintenance import maintain_surface
from app.quant.rate_curve import CARRY_SD, OUTER_CARRY_SD, bridge, pooled_rate, rate_curve
from app.quant.year_fraction import MS_PER_YEAR
from tests.quant.market import recorded_chain

T = np.array([0.02, 0.1, 0.5, 1.0])


def curve(carry=0.04, rate=0.03, spot=100.0):
    forward = spot * np.exp(carry * T)
    return rate_curve(T, forward, 1e-5 * forward, np.exp(-rate * T))


def test_constant_carry_and_rate_hold_everywhere():
    flat = curve()
    t = np.array([0.0, 0.01, 0.3, 2.0])
    assert flat.spot == pytest.approx(100.0, rel=1e-12)
    assert flat.forward_at(t) == pytest.approx(100.0 * np.exp(0.04 * t), rel=1e-12)
    assert flat.discount_factor(t) == pytest.approx(np.exp(-0.03 * t), rel=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(50.0, 200.0), min_size=1, max_size=4), st.lists(st.floats(0.5, 1.2), min_size=4, max_size=4))
def test_pillars_come_back_whatever_they_are(forwards, discounts):
    n = len(forwards)
    forward, discount = np.array(forwards), np.array(discounts[:n])
    bent = rate_curve(T[:n], forward, 0.001 * forward, discount)
    assert bent.forward_at(T[:n]) == pytest.approx(forward, rel=1e-10)
    assert bent.discount_factor(T[:n]) == pytest.approx(discount, rel=1e-10)


def test_carry_is_linear_between_pillars_and_flat_outside():
    rate = np.array([0.01, 0.02, 0.05, 0.03])
    bent = rate_curve(T, 100.0 * np.exp(rate * T), np.full(4, 0.01), np.ones(4))
    middle = 0.5 * (T[1] + T[2])
    expected = bent.spot * np.exp(0.5 * (bent.rate[1] + bent.rate[2]) * middle)
    assert bent.forward_at(middle) == pytest.approx(expected, rel=1e-12)
    assert bent.forward_at(0.5 * T[0]) == pytest.approx(bent.spot * np.exp(0.5 * bent.rate[0] * T[0]), rel=1e-12)
    assert bent.forward_at(2.0) == pytest.approx(bent.spot * np.exp(2.0 * bent.rate[-1]), rel=1e-12)


def test_an_expiry_in_minutes_does_not_bend_the_forwards_of_the_day():
    """Its forward errs by a basis point, which over ten minutes is a carry of 500 % a year."""
    t = np.array([10.0, 24.0 * 60.0, 7.0 * 24.0 * 60.0]) / (365.0 * 24.0 * 60.0)
    forward = 60_000.0 * np.array([1.0001, 1.0, 1.0002])
    near = rate_curve(t, forward, np.array([1e-4, 2e-5, 2e-5]) * forward, np.ones(3))
    between = near.forward_at(np.linspace(t[0], t[1], 25))
    assert (between <= forward[0] * (1.0 + 1e-12)).all()
    assert (between >= forward[1] * (1.0 - 1e-12)).all()


def test_the_forward_rate_is_constant_between_pillars():
    bent = rate_curve(T, np.full(4, 100.0), np.full(4, 0.01), np.array([0.999, 0.99, 0.97, 0.95]))
    t = np.linspace(T[1], T[2], 7)
    forward_rates = -np.diff(np.log(bent.discount_factor(t))) / np.diff(t)
    assert forward_rates == pytest.approx(np.full(6, np.log(0.99 / 0.97) / (T[2] - T[1])), rel=1e-9)


@pytest.mark.parametrize("t", [-0.01, np.nan, np.inf])
def test_a_tenor_must_be_a_time(t):
    with pytest.raises(InvalidQuery, match="year fraction"):
        curve().forward_at(t)
    with pytest.raises(InvalidQuery, match="year fraction"):
        curve().discount_factor(t)


def test_one_pillar_has_no_carry():
    single = rate_curve(np.array([0.5]), np.array([101.0]), np.array([0.1]), np.array([0.98]))
    assert single.spot == pytest.approx(101.0)
    assert single.forward_at([0.1, 3.0]) == pytest.approx([101.0, 101.0])
    assert single.discount_factor(1.0) == pytest.approx(0.98**2)


def test_bridge_is_straight_inside_and_stays_outside():
    log_forward, sd = np.array([4.60, 4.62]), np.array([1e-4, 2e-4])
    value, value_sd = bridge(np.array([0.1, 0.3]), log_forward, sd, np.array([0.1, 0.15, 0.3, 0.05, 0.6]))
    assert value == pytest.approx([4.60, 4.605, 4.62, 4.60, 4.62], rel=1e-14)
    assert value_sd[[0, 2]] == pytest.approx(sd)
    assert value_sd[1] == pytest.approx(np.sqrt((0.75e-4) ** 2 + (0.5e-4) ** 2 + (CARRY_SD * 0.05) ** 2))
    assert value_sd[3] == pytest.approx(np.hypot(1e-4, OUTER_CARRY_SD * 0.05))
    alone, alone_sd = bridge(np.array([0.1]), log_forward[:1], sd[:1], np.array([0.2]))
    assert (alone[0], alone_sd[0]) == pytest.approx((4.60, np.hypot(1e-4, OUTER_CARRY_SD * 0.1)))


def test_pooled_rate_leaves_the_own_rate_out_and_prefers_the_near_and_the_sure():
    t, rate = np.array([0.1, 0.2, 1.0]), np.array([0.50, 0.03, 0.05])
    pooled, sd = pooled_rate(t, rate, np.array([0.001, 0.001, 0.02]))
    assert 0.03 < pooled[0] < 0.04
    assert pooled[0] == pooled_rate(t, np.array([-0.9, 0.03, 0.05]), np.array([0.001, 0.001, 0.02]))[0][0]
    assert sd[0] < 0.02


def test_without_any_evidence_the_rate_is_zero_within_ten_percent():
    pooled, sd = pooled_rate(np.array([0.1, 0.5]), np.full(2, np.nan), np.full(2, np.nan))
    assert pooled.tolist() == [0.0, 0.0]
    assert sd == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("apart_ms", [1, 1_000, 3_600_000])
def test_pillars_too_close_to_each_other_tell_no_carry(apart_ms):
    """A tick between them must not become a carry of thousands of per cent, or a spot of nothing."""
    t = 0.1 + np.array([0.0, apart_ms / MS_PER_YEAR])
    close = rate_curve(t, np.array([100.0, 100.01]), np.full(2, 0.01), np.ones(2))
    assert close.spot == pytest.approx(100.005, abs=0.006)
    assert close.forward_at(np.append(t, [0.0, 1.0])) == pytest.approx([100.0, 100.01, 100.0, 100.1], abs=0.1)


def test_a_chain_whose_expiries_are_a_millisecond_apart_is_published():
    chain = recorded_chain("deribit_btc_chain_2026-08-01T175804Z.json.gz")
    first = chain.expiries[6]
    twins = replace(chain, expiries=(first, replace(first, expiry_ms=first.expiry_ms + 1)), futures=())
    fit = maintain_surface(twins).fit
    assert fit.status is SurfaceStatus.OK
    assert fit.certificate.arbitrage_free
    assert fit.surface.rate_curve.spot == pytest.approx(fit.surface.slices[0].forward, rel=1e-3)
