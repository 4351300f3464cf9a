"""What every model owes: a model added to MODELS is held to this without another line."""

import numpy as np
import pytest

from app.quant.arbitrage import certify
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.base import FitOptions, FitStatus, Objective, SliceState, SurfaceModel
from app.quant.smile import read_smiles
from app.quant.warm_up import known_chain

SMILES = read_smiles(known_chain()).smiles
TOLERANCE = 0.05
"""Half a typical bid-ask spread of the known chain, whose smile is of no model's family."""


@pytest.fixture(params=sorted(MODELS))
def model(request: pytest.FixtureRequest) -> SurfaceModel:
    return MODELS[request.param]


def test_it_is_known_by_its_name(model: SurfaceModel) -> None:
    assert MODELS[model.name] is model
    assert model.min_quotes >= 3


def test_the_default_is_free_of_arbitrage() -> None:
    assert MODELS[DEFAULT_MODEL].arbitrage_free


def test_parameters_give_back_the_curve(model: SurfaceModel) -> None:
    for smile, curve in zip(SMILES, model.fit(SMILES, (), FitOptions()).curves, strict=True):
        again = model.curve(curve.parameters(), t=smile.t, forward=smile.forward)
        np.testing.assert_array_equal(again.total_variance(smile.k), curve.total_variance(smile.k))


def test_derivatives_are_those_of_the_variance(model: SurfaceModel) -> None:
    h = 1e-5
    for smile, curve in zip(SMILES, model.fit(SMILES, (), FitOptions()).curves, strict=True):
        k = np.linspace(-1.5, 1.5, 13) * 0.6 * np.sqrt(smile.t)
        w, w1, w2 = curve.derivatives(k)
        up, down = curve.derivatives(k + h), curve.derivatives(k - h)
        np.testing.assert_allclose(w, curve.total_variance(k), rtol=1e-14)
        np.testing.assert_allclose(w1, (up[0] - down[0]) / (2 * h), atol=1e-6)
        np.testing.assert_allclose(w2, (up[1] - down[1]) / (2 * h), atol=1e-3 * np.abs(w2).max())


@pytest.mark.parametrize("objective", [None, *Objective])
def test_known_vols_are_met_under_every_objective(model: SurfaceModel, objective: Objective | None) -> None:
    solution = model.fit(SMILES, (), FitOptions(objective=objective))
    assert solution.status is not FitStatus.INFEASIBLE
    for smile, curve in zip(SMILES, solution.curves, strict=True):
        near = np.abs(smile.k) < 0.6 * np.sqrt(smile.t)
        vol = np.sqrt(curve.total_variance(smile.k[near]) / smile.t)
        assert np.abs(vol - smile.mid_vol[near]).max() < TOLERANCE


def test_promises_of_no_arbitrage_are_kept(model: SurfaceModel) -> None:
    curves = model.fit(SMILES, (), FitOptions()).curves
    certificate = certify([SliceState(s.expiry_ms, s.t, c) for s, c in zip(SMILES, curves, strict=True)])
    assert certificate.arbitrage_free or not model.arbitrage_free


def test_the_same_smiles_give_the_same_curves(model: SurfaceModel) -> None:
    first, second = (model.fit(SMILES, (), FitOptions()) for _ in range(2))
    states = [SliceState(s.expiry_ms, s.t, c) for s, c in zip(SMILES, first.curves, strict=True)]
    warm = [model.fit(SMILES, states, FitOptions()).curves for _ in range(2)]
    assert first.curves == second.curves
    assert warm[0] == warm[1]
