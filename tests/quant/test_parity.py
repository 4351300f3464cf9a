import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.parity import HUBER_C, MAX_REWEIGHTINGS, doubt, huber_line, open_cone, parity_lines

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "parity.json").read_text())
STRIKE, DIFFERENCE, HALF_SPREAD = (np.array(REFERENCE[name]) for name in ("strike", "difference", "half_spread"))


ALL = np.ones(STRIKE.size)


def line_in_numpy(strike, difference, sd, prior, prior_sd, reweightings=MAX_REWEIGHTINGS):
    """The textbook form: stacked design matrix with the prior as a ridge row, reweighted to the end."""
    weight = sd**-2.0
    for turn in range(reweightings + 1):
        centre = np.average(strike, weights=weight)
        if prior_sd == 0.0:
            discount = prior
            forward = np.average(strike + difference / discount, weights=weight)
        else:
            root = np.append(np.sqrt(weight), 1.0 / prior_sd)
            design = np.column_stack([np.append(np.ones(strike.size), 0.0), np.append(centre - strike, 1.0)])
            level, discount = np.linalg.lstsq(design * root[:, None], np.append(difference, prior) * root)[0]
            forward = centre + level / discount
        if turn < reweightings:
            residual = np.abs(difference - discount * (forward - strike)) / sd
            weight = np.minimum(1.0, HUBER_C / np.maximum(residual, 1e-300)) / sd**2
    return discount, forward


def cone_in_numpy(low, high, forward):
    kept = np.arange(low.size)
    while low[kept].max() > high[kept].min():
        lowest, highest = low[kept].argmax(), high[kept].argmin()
        above, below = low[kept][lowest] - forward, forward - high[kept][highest]
        kept = np.delete(kept, lowest if above > below else highest)
    return low[kept].max(), high[kept].min(), kept.tolist()


def test_huber_line_reproduces_the_reference():
    discount, forward, _, _ = huber_line(STRIKE, DIFFERENCE, HALF_SPREAD, ALL, 1.0, np.inf)
    assert discount == pytest.approx(REFERENCE["huber"]["discount_factor"], rel=1e-11)
    assert forward == pytest.approx(REFERENCE["huber"]["forward"], rel=1e-11)


def test_the_twin_reproduces_plain_least_squares():
    discount, forward = line_in_numpy(STRIKE, DIFFERENCE, HALF_SPREAD, 1.0, np.inf, reweightings=0)
    assert discount == pytest.approx(REFERENCE["least_squares"]["discount_factor"], rel=1e-11)
    assert forward == pytest.approx(REFERENCE["least_squares"]["forward"], rel=1e-11)


@pytest.mark.parametrize("prior_sd", [0.0, 1e-4, 1e-2, np.inf])
def test_huber_line_agrees_with_its_twin(prior_sd):
    ours = huber_line(STRIKE, DIFFERENCE, HALF_SPREAD, ALL, 0.9968, prior_sd)[:2]
    assert ours == pytest.approx(line_in_numpy(STRIKE, DIFFERENCE, HALF_SPREAD, 0.9968, prior_sd), rel=1e-12)


def test_cone_given_the_discount_factor_is_empty_and_names_the_outlier():
    discount = REFERENCE["huber"]["discount_factor"]
    low, high = STRIKE + (DIFFERENCE - HALF_SPREAD) / discount, STRIKE + (DIFFERENCE + HALF_SPREAD) / discount
    assert max(low) == pytest.approx(REFERENCE["cone"]["low"], rel=1e-12)
    assert min(high) == pytest.approx(REFERENCE["cone"]["high"], rel=1e-12)
    keep = ALL.copy()
    half = DIFFERENCE - HALF_SPREAD, DIFFERENCE + HALF_SPREAD
    floor, ceiling = open_cone(STRIKE, *half, keep, discount, REFERENCE["huber"]["forward"])
    assert STRIKE[keep == 0.0].tolist() == [REFERENCE["cone"]["outlier_strike"]]
    assert floor < REFERENCE["forward"] < ceiling


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 3)), min_size=1, max_size=9), st.floats(-5, 5))
def test_open_cone_agrees_with_its_twin(bands, forward):
    middle, half = np.array(bands).T
    keep, zero = np.ones(middle.size), np.zeros(middle.size)
    floor, ceiling = open_cone(zero, middle - half, middle + half, keep, 1.0, forward)
    assert floor <= ceiling
    assert (floor, ceiling, np.flatnonzero(keep).tolist()) == cone_in_numpy(middle - half, middle + half, forward)


def test_two_wrong_strikes_that_agree_do_not_outlast_the_right_ones():
    middle = np.array([0.0, 0.1, -0.1, 0.05, 5.0, 5.1])
    keep = np.ones(middle.size)
    open_cone(np.zeros(middle.size), middle - 1.0, middle + 1.0, keep, 1.0, 0.02)
    assert keep.tolist() == [1, 1, 1, 1, 0, 0]


def doubt_in_numpy(low, high, keep, forward):
    kept = keep == 1.0
    distances = [
        max(a - forward, forward - b, 0.0)
        for a, b in zip(low[~kept], high[~kept], strict=True)
        if ((low[kept] > b) | (high[kept] < a)).sum() <= (~kept).sum()
    ]
    return max(distances, default=0.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 3)), min_size=1, max_size=9), st.floats(-5, 5))
def test_doubt_agrees_with_its_twin(bands, forward):
    middle, half = np.array(bands).T
    keep, zero = np.ones(middle.size), np.zeros(middle.size)
    open_cone(zero, middle - half, middle + half, keep, 1.0, forward)
    found = doubt(zero, middle - half, middle + half, keep, 1.0, forward)
    assert found == doubt_in_numpy(middle - half, middle + half, keep, forward)


@pytest.mark.parametrize(("tight", "in_doubt"), [(1, True), (3, False)])
def test_of_two_tight_books_among_wide_ones_neither_is_believed(tight, in_doubt):
    """A wrong book 0.3 below; which one is wrong only a second tight one beside the right one tells."""
    strike = np.linspace(95.0, 105.0, 11)
    half = np.full(strike.size, 2.0)
    half[[4 + i for i in range(tight)] + [8]] = 0.02
    middle = 100.0 - strike
    middle[8] -= 0.3
    one = np.ones(1)
    lines = parity_lines(
        np.array([0, strike.size]),
        strike,
        middle - half,
        middle + half,
        half_spreads_per_sd=2.0,
        discount_prior=one,
        discount_prior_sd=0.0 * one,
    )
    wrong = 99.7
    further = max(abs(lines.forward[0] - 100.0), abs(lines.forward[0] - wrong))
    assert (lines.forward_sd[0] > 0.8 * further) == in_doubt


def test_variances_are_those_of_the_normal_equations():
    sd = HALF_SPREAD * 10.0  # noise far below the stated sd: no reweighting, no scaling
    discount, forward, discount_var, forward_var = huber_line(STRIKE, DIFFERENCE, sd, ALL, 1.0, np.inf)
    design = np.column_stack([np.ones(STRIKE.size), -STRIKE]) / sd[:, None]
    covariance = np.linalg.inv(design.T @ design)
    gradient = np.array([1.0 / discount, -forward / discount])
    assert discount_var == pytest.approx(covariance[1, 1], rel=1e-8)
    assert forward_var == pytest.approx(gradient @ covariance @ gradient, rel=1e-6)


@settings(deadline=None)
@given(forward=st.floats(20, 300), discount=st.floats(0.5, 1.5), spread=st.floats(1e-4, 1.0))
def test_an_exact_line_comes_back_exactly(forward, discount, spread):
    strike = np.array([80.0, 95.0, 100.0, 130.0])
    difference = discount * (forward - strike)
    lines = parity_lines(
        np.array([0, 4]),
        strike,
        difference - spread,
        difference + spread,
        half_spreads_per_sd=2.0,
        discount_prior=np.ones(1),
        discount_prior_sd=np.array([np.inf]),
    )
    assert lines.discount_factor[0] == pytest.approx(discount, rel=1e-11)
    assert lines.forward[0] == pytest.approx(forward, rel=1e-11)
    assert lines.cone_low[0] <= forward <= lines.cone_high[0]
    assert lines.pairs.tolist() == [4]


def test_segments_are_fitted_apart_and_a_single_pair_is_no_line():
    start = np.array([0, 7, 8, 8, 15])
    strike, difference, half = (np.concatenate([a, a[:1], a]) for a in (STRIKE, DIFFERENCE, HALF_SPREAD))
    lines = parity_lines(
        start,
        strike,
        difference - half,
        difference + half,
        half_spreads_per_sd=1.0,
        discount_prior=np.ones(4),
        discount_prior_sd=np.full(4, 0.1),
    )
    assert np.isnan(lines.forward).tolist() == [False, True, True, False]
    assert lines.forward[0] == lines.forward[3]
    assert lines.pairs.tolist() == [6, 0, 0, 6]


def test_a_falling_price_of_money_is_no_discount_factor():
    assert np.isnan(huber_line(STRIKE, -DIFFERENCE, HALF_SPREAD, ALL, 1.0, np.inf)[1])


def test_prices_that_bound_no_positive_forward_are_no_line():
    def fitted(half: float):
        one = np.ones(1)
        start = np.array([0, STRIKE.size])
        low, high = DIFFERENCE - half, DIFFERENCE + half
        return parity_lines(
            start, STRIKE, low, high, half_spreads_per_sd=1.0, discount_prior=one, discount_prior_sd=0.1 * one
        )

    told, untold = fitted(0.5 * STRIKE.min()), fitted(3.0 * STRIKE.max())
    assert told.cone_low[0] > 0.0
    assert np.isnan([untold.forward[0], untold.cone_low[0], untold.cone_high[0]]).all()
    assert untold.pairs[0] == STRIKE.size
