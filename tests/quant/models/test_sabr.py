import gzip
import json
from datetime import datetime
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from app.quant.errors import InvalidParameters
from app.quant.models.base import FitOptions, FitStatus, Objective, SliceState
from app.quant.models.quote_loss import POINTS, UNBOUNDED_SCALE
from app.quant.models.sabr import Sabr
from app.quant.models.sabr_curve import SabrCurve, curve_numbers, least_correction, sabr_curve
from app.quant.models.sabr_slice import HIGHEST, LOWEST, ROWS, damped_step, fill_vols
from app.quant.smile import Smile

TESTS = Path(__file__).parents[2]
REFERENCE = json.loads((TESTS / "reference" / "sabr_hagan.json").read_text())["cases"]
unhurried = settings(deadline=None)
"""The first call compiles."""

coordinates = st.tuples(st.floats(-2.0, 0.5), st.floats(-1.5, 1.4), st.floats(-1.5, 1.5))
betas = st.sampled_from([0.0, 0.5, 0.9, 1.0])


def hagan(k, curve: SabrCurve):
    """The formula as printed, in mpmath, with strikes and forward."""
    f, beta, rho, nu, t = (mp.mpf(v) for v in (curve.forward, curve.beta, curve.rho, curve.nu, curve.t))
    strike = f * mp.exp(k)
    log, mean = mp.log(f / strike), (f * strike) ** ((1 - beta) / 2)
    z = nu / curve.alpha * mean * log
    chi = mp.log((mp.sqrt(1 - 2 * rho * z + z * z) + z - rho) / (1 - rho))
    ratio = z / chi if z != 0 else mp.mpf(1)
    shrink = 1 + (1 - beta) ** 2 / 24 * log**2 + (1 - beta) ** 4 / 1920 * log**4
    square = (1 - beta) ** 2 * curve.alpha**2 / (24 * mean**2)
    correction = 1 + (square + rho * beta * nu * curve.alpha / (4 * mean) + (2 - 3 * rho**2) * nu**2 / 24) * t
    return curve.alpha / (mean * shrink) * ratio * correction


def smile_of(curve: SabrCurve, k: np.ndarray, *, half_spread: float = 0.01, error: float | np.ndarray = 0.0) -> Smile:
    vol = np.sqrt(curve.total_variance(k) / curve.t) + error
    spread = np.full(k.shape, half_spread)
    return Smile(
        expiry_ms=1,
        t=curve.t,
        forward=curve.forward,
        forward_sd=0.0,
        discount_factor=1.0,
        strike=curve.forward * np.exp(k),
        is_call=k >= 0.0,
        k=k,
        bid_vol=vol - spread,
        ask_vol=vol + spread,
        mid_vol=vol,
        noise=0.5 * spread,
        dropped={},
    )


def recorded_smiles() -> list[Smile]:
    """Two-sided quotes of real expiries, in vol space as the exchange published them."""
    document = json.loads(gzip.decompress((TESTS / "data" / "surface_quotes_btc_2026-04-27.json.gz").read_bytes()))
    as_of = datetime.fromisoformat(document["ref_date"])
    forwards, quotes = {}, {}
    for line in document["inputs"]:
        if line["security_type"] == "forward":
            forwards[line["maturity"]] = 0.5 * (float(line["bid"]) + float(line["ask"]))
        elif line["security_type"] == "option" and line["iv_bid"] and line["iv_ask"]:
            quotes.setdefault(line["maturity"], {})[float(line["strike"])] = (
                float(line["iv_bid"]),
                float(line["iv_ask"]),
            )
    smiles = []
    for maturity in sorted(quotes.keys() & forwards.keys()):
        strike = np.array(sorted(quotes[maturity]))
        bid, ask = np.array([quotes[maturity][k] for k in strike]).T
        expiry = datetime.fromisoformat(maturity)
        smiles.append(
            Smile(
                expiry_ms=int(expiry.timestamp() * 1000),
                t=(expiry - as_of).total_seconds() / (365.0 * 86_400.0),
                forward=forwards[maturity],
                forward_sd=0.0,
                discount_factor=1.0,
                strike=strike,
                is_call=strike >= forwards[maturity],
                k=np.log(strike / forwards[maturity]),
                bid_vol=bid,
                ask_vol=ask,
                mid_vol=0.5 * (bid + ask),
                noise=np.maximum(0.5 * (ask - bid), 0.002),
                dropped={},
            )
        )
    return smiles


def kernel_quotes(k: np.ndarray, beta: float) -> np.ndarray:
    quotes = np.zeros((ROWS, k.shape[0]))
    bk2 = ((1.0 - beta) * k) ** 2
    quotes[0], quotes[4] = k, UNBOUNDED_SCALE
    quotes[5], quotes[6] = np.exp(-0.5 * (1.0 - beta) * k), 1.0 / (1.0 + bk2 / 24.0 + bk2**2 / 1920.0)
    quotes[7] = k / quotes[5]
    quotes[8] = np.divide(1.0, quotes[7], out=np.full(k.shape, np.inf), where=k != 0.0)
    return quotes


def model_vols(x, k: np.ndarray, t: float, beta: float) -> np.ndarray:
    model = np.empty((4, k.shape[0]))
    fill_vols(kernel_quotes(k, beta), k.shape[0], t, beta, np.asarray(x), model)
    return model


@pytest.mark.parametrize("case", REFERENCE, ids=lambda c: f"beta{c['beta']}-K{c['strike']}")
def test_vol_against_published_formula(case):
    forward, strike, t, alpha, beta, rho, nu = (float(case[name]) for name in list(case)[:7])
    curve = SabrCurve(alpha, beta, rho, nu, t, forward)
    k = np.array([np.log(strike / forward)])
    assert np.sqrt(curve.total_variance(k) / t) == pytest.approx(float(case["vol"]), rel=1e-14)


@pytest.mark.parametrize("beta", [0.3, 1.0])
@pytest.mark.parametrize("k", [-2.0, -0.3, -0.01, -1e-6, 0.0, 0.004, 0.02, 0.5, 2.0])
def test_derivatives_against_mpmath(k, beta):
    curve = SabrCurve(0.7, beta, -0.35, 1.4, 0.2, 1.5)
    with mp.workdps(100):
        exact = [
            float(mp.diff(lambda y: curve.t * hagan(y, curve) ** 2, mp.mpf(k), n, h=mp.mpf("1e-20"))) for n in range(3)
        ]
    for computed, expected in zip(curve.derivatives(np.array([k])), exact, strict=True):
        assert computed[0] == pytest.approx(expected, rel=1e-11)


@given(coordinates, betas, st.floats(0.003, 1.5))
@unhurried
def test_variances_alone_are_those_of_the_derivatives(x, beta, t):
    level, nu, rho = np.exp(x[0]), np.exp(x[1]), np.tanh(x[2])
    if least_correction(level, nu, rho, beta, t) <= 0.0:
        return
    k = np.array([[-1.0, -0.3, -1e-3, 0.0], [1e-9, 1e-5, 0.2, 0.9]])
    curve = SabrCurve(level, beta, rho, nu, t, 1.0)
    np.testing.assert_allclose(curve.total_variance(k), curve.derivatives(k)[0], rtol=1e-13)


@given(coordinates, betas, st.floats(0.003, 1.5))
@unhurried
def test_compiled_vols_agree_with_the_curve(x, beta, t):
    level, nu, rho = np.exp(x[0]), np.exp(x[1]), np.tanh(x[2])
    if least_correction(level, nu, rho, beta, t) <= 0.0:
        return
    k = np.array([-1.0, -0.3, -1e-3, 0.0, 1e-5, 0.2, 0.9])
    curve = SabrCurve(level, beta, rho, nu, t, 1.0)
    np.testing.assert_allclose(model_vols(x, k, t, beta)[0], np.sqrt(curve.total_variance(k) / t), rtol=1e-12)


@given(coordinates, betas, st.floats(0.003, 1.5))
@unhurried
def test_jacobian_against_finite_differences(x, beta, t):
    k = np.array([-1.0, -0.3, -1e-3, 0.0, 1e-5, 0.2, 0.9])
    jacobian = model_vols(x, k, t, beta)[1:]
    for row, bump in zip(jacobian, 1e-5 * np.eye(3), strict=True):
        difference = (model_vols(x + bump, k, t, beta)[0] - model_vols(x - bump, k, t, beta)[0]) / 2e-5
        np.testing.assert_allclose(row, difference, rtol=1e-6, atol=1e-7 * max(1.0, np.abs(difference).max()))


@given(coordinates, betas, st.floats(0.003, 3.0))
@unhurried
def test_least_correction_is_the_least(x, beta, t):
    level, nu, rho = np.exp(x[0]), np.exp(x[1]), np.tanh(x[2])
    b = 1.0 - beta
    a = level * np.exp(-0.5 * b * np.linspace(-5.0, 5.0, 20_001))
    h = 1.0 + t * (b * b * a * a / 24.0 + rho * beta * nu * a / 4.0 + (2.0 - 3.0 * rho**2) * nu**2 / 24.0)
    assert least_correction(level, nu, rho, beta, t) == pytest.approx(h.min(), rel=1e-6, abs=1e-6)


def test_parameters_give_the_curve_back():
    curve = SabrCurve(0.6, 0.8, -0.2, 1.8, 0.1, 50_000.0)
    assert sabr_curve(curve.parameters(), t=curve.t, forward=curve.forward) == curve
    assert Sabr().curve(json.loads(json.dumps(curve.parameters())), t=0.1, forward=50_000.0) == curve


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": np.nan}, "finite"),
        ({"beta": 1.1}, "beta"),
        ({"rho": -1.0}, "rho"),
        ({"nu": -0.1}, "nu"),
        ({"t": 0.0}, "t"),
        ({"rho": -0.99, "nu": 5.0, "t": 5.0}, "correction"),
    ],
)
def test_outside_the_domain_raises(change, rule):
    parameters = {"alpha": 0.6, "beta": 1.0, "rho": -0.2, "nu": 1.8, "t": 0.1, "forward": 100.0}
    with pytest.raises(InvalidParameters, match=rule):
        SabrCurve(**(parameters | change))


@pytest.mark.parametrize("beta", [0.5, 1.0])
@pytest.mark.parametrize(
    ("level", "rho", "nu", "t"), [(0.6, -0.4, 3.0, 0.02), (0.4, 0.3, 0.8, 1.0), (0.9, 0.0, 8.0, 3e-3)]
)
def test_fit_recovers_exact_parameters(level, rho, nu, t, beta):
    truth = SabrCurve(level * 100.0 ** (1.0 - beta), beta, rho, nu, t, 100.0)
    smile = smile_of(truth, level * np.sqrt(t) * np.linspace(-3.0, 3.0, 21))
    solution = Sabr(beta).fit([smile], (), FitOptions())
    assert solution.status is FitStatus.CONVERGED
    fitted = solution.curves[0].parameters()
    assert [fitted[name] for name in ("alpha", "rho", "nu")] == pytest.approx(
        [truth.alpha, rho, nu], abs=1e-5, rel=1e-5
    )


def test_objective_is_as_low_as_the_best_of_25_starts():
    smiles = recorded_smiles()
    assert len(smiles) >= 10
    rng = np.random.default_rng(41)
    for smile in smiles[::5]:
        solution = Sabr().fit([smile], (), FitOptions(objective=Objective.LEAST_SQUARES))
        weight = smile.noise**-2.0
        weight *= weight.shape[0] / weight.sum()

        def residual(x, smile=smile, weight=weight):
            return np.sqrt(weight) * POINTS * (model_vols(x, smile.k, smile.t, 1.0)[0] - smile.mid_vol)

        def jacobian(x, smile=smile, weight=weight):
            return (np.sqrt(weight) * POINTS * model_vols(x, smile.k, smile.t, 1.0)[1:]).T

        starts = rng.uniform((-2.0, -1.5, -1.5), (0.3, 2.5, 1.5), (25, 3))
        best = min(least_squares(residual, s, jacobian, bounds=(LOWEST, HIGHEST)).cost for s in starts)
        assert solution.objective <= 1.001 * best


def test_a_smile_that_presses_rho_to_its_bound_still_converges():
    k = np.linspace(-0.04, 0.04, 9)
    flat = SabrCurve(0.6, 1.0, 0.0, 1e-3, 0.005, 100.0)
    solution = Sabr().fit([smile_of(flat, k, error=-0.1 * k - 0.5 * k * k)], (), FitOptions())
    assert solution.status is FitStatus.CONVERGED
    assert solution.curves[0].rho == pytest.approx(np.tanh(LOWEST[2]), abs=1e-12)


@given(st.lists(st.floats(-2.0, 2.0), min_size=9, max_size=9), st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3))
@unhurried
def test_damped_step_solves_its_equations(entries, gradient):
    root = np.array(entries).reshape(3, 3)
    hessian = root @ root.T + 0.1 * np.eye(3)
    step = np.empty(3)
    damped_step(np.concatenate([gradient, hessian[np.tril_indices(3)]]), 0.2, step)
    expected = -np.linalg.solve(hessian + 0.2 * np.diag(np.diag(hessian)), gradient)
    np.testing.assert_allclose(step, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("objective", list(Objective))
def test_every_objective_finds_the_smile(objective):
    truth = SabrCurve(0.6, 1.0, -0.4, 3.0, 0.05, 100.0)
    k = np.linspace(-0.4, 0.4, 21)
    noise = np.random.default_rng(3).normal(0.0, 0.001, k.shape)
    curve = (
        Sabr().fit([smile_of(truth, k, half_spread=0.004, error=noise)], (), FitOptions(objective=objective)).curves[0]
    )
    assert np.sqrt(curve.total_variance(k) / 0.05) == pytest.approx(np.sqrt(truth.total_variance(k) / 0.05), abs=0.003)


def test_student_t_forgets_an_outlier():
    truth = SabrCurve(0.6, 1.0, -0.4, 3.0, 0.05, 100.0)
    k = np.linspace(-0.4, 0.4, 21)
    smile = smile_of(truth, k, half_spread=0.004, error=np.where(k == k[14], 0.1, 0.0))

    def worst(objective):
        curve = Sabr().fit([smile], (), FitOptions(objective=objective)).curves[0]
        return np.abs(np.sqrt(curve.total_variance(k)) - np.sqrt(truth.total_variance(k))).max()

    assert worst(Objective.STUDENT_T) < 0.1 * worst(Objective.LEAST_SQUARES)


def test_warm_start_and_memory():
    truth, moved = (SabrCurve(alpha, 1.0, -0.4, 3.0, 0.05, 100.0) for alpha in (0.6, 0.62))
    k = np.linspace(-0.4, 0.4, 21)
    previous = (SliceState(1, 0.05, truth),)
    model = Sabr()
    cold = model.fit([smile_of(moved, k)], (), FitOptions())
    warm = model.fit([smile_of(moved, k)], previous, FitOptions(prior_strength=0.0))
    assert (cold.warm, warm.warm) == (False, True)
    assert warm.curves[0].alpha == pytest.approx(0.62, rel=1e-6)
    assert model.fit([smile_of(truth, k)], previous, FitOptions()).iterations <= 2
    weak, strong = (
        model.fit([smile_of(moved, k)], previous, FitOptions(prior_strength=strength)).curves[0].alpha
        for strength in (0.1, 1.0)
    )
    assert 0.6 < strong < weak < 0.62


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_fitted_curves_are_those_of_their_coordinates_and_lie_in_the_domain(beta):
    x, t, forward = np.array([[-0.5, 0.2, -0.9], [-1.2, 1.1, 0.4]]), np.array([0.1, 0.02]), np.array([100.0, 5e4])
    numbers = curve_numbers(x, beta, t, forward)
    for row, (level, nu, rho), years, at in zip(numbers, x, t, forward, strict=True):
        alpha = np.exp(level) * at ** (1.0 - beta)
        np.testing.assert_allclose(row, [alpha, beta, np.tanh(rho), np.exp(nu), years, at], rtol=1e-14)
    curves = Sabr(beta).fit(recorded_smiles(), (), FitOptions()).curves
    assert tuple(SabrCurve(**curve.parameters(), t=curve.t, forward=curve.forward) for curve in curves) == curves


def test_a_fit_that_never_came_into_the_domain_raises():
    before, later = (SabrCurve(0.6, 1.0, -0.9, nu, t, 100.0) for nu, t in ((6.0, 0.05), (0.3, 5.0)))
    smile = smile_of(later, np.linspace(-0.4, 0.4, 21))
    options = FitOptions(prior_strength=0.0, max_iterations=1)
    with pytest.raises(InvalidParameters, match="correction"):
        Sabr().fit([smile], (SliceState(1, 5.0, before),), options)


def test_free_beta_is_no_worse_than_a_fixed_one():
    smiles = recorded_smiles()[2:4]
    free = Sabr(None).fit(smiles, (), FitOptions())
    fixed = [Sabr(beta).fit(smiles, (), FitOptions()).objective for beta in (0.0, 0.5, 1.0)]
    assert free.objective <= 1.001 * min(fixed)


def test_beta_outside_its_range_raises():
    with pytest.raises(InvalidParameters, match=r"1\.5"):
        Sabr(1.5)


def test_the_same_smiles_give_the_same_numbers():
    smiles = recorded_smiles()
    first, second = (Sabr().fit(smiles, (), FitOptions()).curves for _ in range(2))
    alone = tuple(Sabr().fit([smile], (), FitOptions()).curves[0] for smile in smiles)
    assert first == second == alone
