"""Distances between surfaces: parameters in units of their own errors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.quant.calibration import calibrate_surface
from app.quant.drift import drift_between, mahalanobis
from app.quant.nodes import node_vols
from app.quant.warm_up import known_chain
from tests.quant.market import maintained_series

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "maintenance.json").read_text())["mahalanobis"]


def test_mahalanobis_gives_the_reference() -> None:
    found = mahalanobis(np.array(REFERENCE["d"]), np.array(REFERENCE["C"]))
    assert found == pytest.approx(REFERENCE["value"], rel=1e-12)


def test_a_shift_of_one_parameter_is_counted_in_its_own_errors() -> None:
    surface = calibrate_surface(known_chain()).surface
    first = surface.slices[0]
    moved = replace(first, curve=replace(first.curve, m=first.curve.m + 0.006))  # type: ignore[type-var,attr-defined]
    after = replace(surface, slices=(moved, *surface.slices[1:]))
    covariance = np.diag([1.0, 1.0, 1.0, 0.001**2, 1.0])
    drift = drift_between(surface, node_vols(surface), after, node_vols(after), {first.expiry_ms: covariance})
    scores = {(bucket, name): z for bucket, name, _, z in drift.per_parameter}
    assert scores["1w", "m"] == pytest.approx(6.0 / np.sqrt(2.0))
    assert scores["1w", "rho"] == 0.0
    assert scores["1m", "m"] is None
    assert dict(drift.joint) == {"1w": pytest.approx(6.0 / np.sqrt(10.0))}


def test_parameters_of_a_quiet_market_move_by_about_their_errors() -> None:
    calm = maintained_series("BTC")
    scores = [z for fit in calm[1:] for _, _, _, z in fit.fit.drift.per_parameter if z is not None]
    assert len(scores) > 300
    assert 0.02 < np.median(scores) < 2.0
