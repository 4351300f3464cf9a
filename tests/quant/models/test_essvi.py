"""eSSVI: reference slice, feasibility of every fit, derivatives against differences, recovery of a known surface."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.arbitrage import certify
from app.quant.errors import InvalidParameters
from app.quant.models.base import FitOptions, FitStatus, SliceState
from app.quant.models.essvi import Essvi, _Quotes, _strictly_feasible_start, constraint_jacobian, constraint_values
from app.quant.models.essvi_butterfly import butterfly_bounds, wing_quotient
from app.quant.models.essvi_curve import EssviCurve, essvi_curve
from app.quant.smile import Smile

BOUNDS = json.loads((Path(__file__).parents[2] / "reference" / "essvi_butterfly.json").read_text())
ROUNDING = 1e-11
"""What publishing 12 digits may take from a constraint, out of margins of 1e-4."""
NO_PRIOR = FitOptions(prior_strength=0.0)


def smile_of(t: float, k: np.ndarray, vol: np.ndarray, noise: float = 0.003) -> Smile:
    return Smile(
        expiry_ms=round(t * 365 * 86_400_000),
        t=t,
        forward=100.0,
        forward_sd=0.01,
        discount_factor=1.0,
        strike=100.0 * np.exp(k),
        is_call=k > 0.0,
        k=k,
        bid_vol=vol - noise,
        ask_vol=vol + noise,
        mid_vol=vol,
        noise=np.full(k.shape, noise),
        dropped={},
    )


def known_surface() -> list[tuple[float, EssviCurve]]:
    """Strictly free of arbitrage: theta rises, phi falls, psi rises faster than |e| turns."""
    rows = [(0.02, 0.006, -0.10, 0.06), (0.1, 0.03, -0.20, 0.14), (0.5, 0.14, -0.25, 0.34), (1.0, 0.27, -0.25, 0.50)]
    return [(t, EssviCurve(theta, rho, psi)) for t, theta, rho, psi in rows]


def smiles_of(surface: list[tuple[float, EssviCurve]], noise: float = 0.0, seed: int = 0) -> list[Smile]:
    rng = np.random.default_rng(seed)
    smiles = []
    for t, curve in surface:
        k = np.linspace(-2.5, 2.0, 21) * np.sqrt(curve.theta)
        vol = np.sqrt(curve.total_variance(k) / t)
        smiles.append(smile_of(t, k, vol + noise * rng.standard_normal(k.shape)))
    return smiles


def test_reference_slice() -> None:
    """theta=.04, rho=-.6, psi=.30 at k=-.25 gives w = .094521630116712029 (closed form at 25 digits)."""
    curve = EssviCurve(0.04, -0.6, 0.30)
    assert curve.total_variance(np.array([-0.25]))[0] == pytest.approx(0.094521630116712029077, rel=1e-14)


def test_at_the_money_reads_off_the_parameters() -> None:
    w, w1, _ = EssviCurve(0.04, -0.6, 0.30).derivatives(np.zeros(1))
    assert w[0] == pytest.approx(0.04, rel=1e-14)
    assert w1[0] == pytest.approx(-0.18, rel=1e-13)


def test_parameters_give_back_the_curve() -> None:
    curve = EssviCurve(0.04, -0.6, 0.30)
    assert essvi_curve(curve.parameters()) == curve


@pytest.mark.parametrize("bad", [(0.0, 0.0, 0.1), (0.1, 1.0, 0.1), (0.1, 0.0, -0.1), (np.nan, 0.0, 0.1)])
def test_domain(bad: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidParameters):
        EssviCurve(*bad)


def test_known_surface_is_recovered() -> None:
    surface = known_surface()
    solution = Essvi().fit(smiles_of(surface), (), NO_PRIOR)
    assert solution.status is FitStatus.CONVERGED
    for (_, truth), found in zip(surface, solution.curves, strict=True):
        for name, value in truth.parameters().items():
            assert found.parameters()[name] == pytest.approx(value, rel=2e-3)


def test_gradients_agree_with_differences() -> None:
    smiles = smiles_of(known_surface(), noise=0.01)
    x = _strictly_feasible_start(smiles)
    quotes = _Quotes(smiles, (), 0.0)
    _, gradient, _ = quotes.normal_equations(x)
    jacobian = constraint_jacobian(x)
    h = 1e-6 * x
    for j in range(x.shape[0]):
        up, down = x.copy(), x.copy()
        up[j] += h[j]
        down[j] -= h[j]
        slope = (quotes.objective(up) - quotes.objective(down)) / (2.0 * h[j])
        assert gradient[j] == pytest.approx(slope, rel=1e-5, abs=1e-6 * np.abs(gradient).max())
        slopes = (constraint_values(up) - constraint_values(down)) / (2.0 * h[j])
        np.testing.assert_allclose(jacobian[:, j], slopes, rtol=1e-6, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 12),
    level=st.floats(0.05, 3.0),
    noise=st.floats(0.0, 0.2),
)
def test_every_fit_is_feasible_and_finite(seed: int, n: int, level: float, noise: float) -> None:
    """Whatever the quotes say, crossed variances included, the fit keeps every condition."""
    rng = np.random.default_rng(seed)
    smiles = []
    for t in np.cumsum(rng.uniform(0.001, 0.3, n)):
        k = np.sort(rng.normal(0.0, 1.5 * level * np.sqrt(t), 7))
        vol = level * np.exp(noise * rng.standard_normal(7))
        smiles.append(smile_of(float(t), k, vol))
    solution = Essvi().fit(smiles, (), NO_PRIOR)
    x = np.array([[c.theta, c.psi, c.rho * c.psi] for c in solution.curves]).ravel()  # type: ignore[attr-defined]
    assert np.isfinite(x).all()
    assert constraint_values(x).min() > -ROUNDING


@pytest.mark.parametrize(("theta", "rho", "bound"), BOUNDS["bounds"])
def test_butterfly_bound_of_record(theta: float, rho: float, bound: float) -> None:
    assert butterfly_bounds(np.array([theta]), np.array([rho]))[:, 0].min() == pytest.approx(bound, rel=2e-9)


@settings(max_examples=60, deadline=None)
@given(theta=st.floats(1e-6, 4.0), rho=st.floats(-0.97, 0.97), share=st.sampled_from([0.999, 1.001]))
def test_butterfly_bound_is_exact(theta: float, rho: float, share: float) -> None:
    """The certificate, which knows nothing of the bound, proves a slice just below it and refutes one just above."""
    bound = min(butterfly_bounds(np.array([theta]), np.array([rho]))[:, 0].min(), (4.0 / (1.0 + abs(rho))) ** 2)
    curve = EssviCurve(theta, rho, np.sqrt(share * bound))
    certificate = certify((SliceState(expiry_ms=1, t=1.0, curve=curve),))
    assert certificate.arbitrage_free == (share < 1.0)


@settings(max_examples=60, deadline=None)
@given(theta=st.floats(1e-6, 1.0), rho=st.floats(-0.9, 0.9))
def test_butterfly_bound_agrees_with_a_dense_scan_and_with_differences(theta: float, rho: float) -> None:
    start = 0.5 * np.log((1.0 - rho) / (1.0 + rho))
    scan = min(wing_quotient(z, theta, rho)[0] for z in np.exp(start + np.linspace(0.0, 12.0, 4001)))
    bound = butterfly_bounds(np.array([theta]), np.array([rho]))[0, :, 0]
    assert bound[0] == pytest.approx(scan, rel=1e-4)
    assert bound[0] <= scan * (1.0 + 1e-12)
    for derivative, d_theta, d_rho in ((bound[1], 1e-4 * theta, 0.0), (bound[2], 0.0, 1e-5)):
        up, down = (
            butterfly_bounds(np.array([theta + sign * d_theta]), np.array([rho + sign * d_rho]))[0, 0, 0]
            for sign in (1.0, -1.0)
        )
        assert derivative == pytest.approx((up - down) / (2.0 * (d_theta + d_rho)), rel=1e-3, abs=1e-5 * bound[0])


def test_a_short_smile_steeper_than_the_sufficient_condition_allows_is_recovered() -> None:
    """psi^2 (1 + |rho|) is above 4 theta: outside of the sufficient condition, inside of the exact one."""
    steep = [(0.004, EssviCurve(0.0009, -0.15, 0.09)), (0.02, EssviCurve(0.0045, -0.2, 0.2))]
    assert all(c.psi * c.psi * (1.0 + abs(c.rho)) > 4.0 * c.theta for _, c in steep)
    solution = Essvi().fit(smiles_of(steep), (), NO_PRIOR)
    for (_, truth), found in zip(steep, solution.curves, strict=True):
        for name, value in truth.parameters().items():
            assert found.parameters()[name] == pytest.approx(value, rel=5e-3)


def test_previous_surface_pulls() -> None:
    surface = known_surface()
    before = [SliceState(s.expiry_ms, s.t, c) for s, (_, c) in zip(smiles_of(surface), surface, strict=True)]
    noisy = smiles_of(surface, noise=0.02, seed=3)

    def distance(strength: float) -> float:
        fitted = Essvi().fit(noisy, before, FitOptions(prior_strength=strength)).curves
        change = [
            f.total_variance(s.k) - c.total_variance(s.k) for f, s, (_, c) in zip(fitted, noisy, surface, strict=True)
        ]
        return float(np.abs(np.concatenate(change)).sum())

    assert distance(5.0) < 0.7 * distance(0.0)
