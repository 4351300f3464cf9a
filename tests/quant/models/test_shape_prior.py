import numpy as np
import pytest

from app.quant.models.base import Objective
from app.quant.models.shape_prior import PULL, TYPICAL_QUOTES, TYPICAL_SHAPE, pull_shapes, slice_shapes
from app.quant.models.surface_problem import SHAPE_CENTRE, SHAPE_WEIGHT
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.models.svi_coordinates import from_raw
from tests.quant.models.smiles import known_surface, quoted

DAYS = (10.0, 20.0, 40.0)
CURVES = known_surface(days=DAYS)
SVI = np.empty((3, 5))
for _curve, _x in zip(CURVES, SVI, strict=True):
    from_raw(np.array([_curve.a, _curve.b, _curve.rho, _curve.m, _curve.sigma]), _x)


def test_shapes_of_ssvi_hardly_depend_on_maturity() -> None:
    """theta phi^2 is nearly constant along expiries, so the shape in units of sqrt(w(0)) is too."""
    shapes = np.empty((3, 4))
    slice_shapes(SVI, shapes)
    assert np.ptp(shapes, axis=0).max() < 0.06
    assert shapes[1, 0] == pytest.approx(SVI[1, 1] / np.sqrt(SVI[1, 0]))


def test_the_centre_is_the_neighbours_mean_by_quotes_and_nearness() -> None:
    smiles = quoted(CURVES, days=DAYS, quotes=30)
    problem = SurfaceQuotes(smiles).problem(Objective.MIX)
    pull_shapes(problem, SVI)
    shapes = np.empty((3, 4))
    slice_shapes(SVI, shapes)
    near, far = 30 * 0.5, 30 * 0.25
    expected = (near * shapes[1] + far * shapes[2] + TYPICAL_QUOTES * np.array(TYPICAL_SHAPE)) / (
        near + far + TYPICAL_QUOTES
    )
    root = np.sqrt(SVI[0, 0])
    centre = problem.slices[0, SHAPE_CENTRE : SHAPE_CENTRE + 4]
    assert centre[0] == pytest.approx(expected[0] * root)
    assert centre[1] == pytest.approx(expected[1])
    np.testing.assert_allclose(centre[2:] - np.log(root), expected[2:], rtol=1e-12)
    assert problem.slices[0, SHAPE_WEIGHT] * SVI[0, 0] == pytest.approx(PULL[0])


def test_a_lone_slice_is_pulled_to_the_typical_shape() -> None:
    problem = SurfaceQuotes(quoted(CURVES[:1], days=DAYS[:1])).problem(Objective.MIX)
    pull_shapes(problem, SVI[:1])
    assert problem.slices[0, SHAPE_CENTRE + 1] == pytest.approx(TYPICAL_SHAPE[1])
