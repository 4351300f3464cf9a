"""Error bars: the delta method against references and plain linear algebra, and how bars behave on real chains."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.quant.calibration import calibrate_surface
from app.quant.models.svi_curve import cubic_b_spline
from app.quant.models.svi_uncertainty import (
    COMMON_SHARE,
    CORRELATION_LENGTH,
    PARAMETERS,
    local_noise,
    raw_svi_gradient,
    sandwich_covariance,
    vol_gradient,
    weak_prior,
)
from app.quant.uncertainty import NODES, slice_uncertainties
from app.quant.warm_up import known_chain

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "svi_uncertainty.json").read_text())
RAW = np.array(REFERENCE["parameters"])
T = REFERENCE["t"]
K = np.linspace(-0.5, 0.6, 23)
NOISE = (0.004 + 0.02 * np.abs(K) ** 1.2) / 2.0
NO_KNOTS = np.zeros(4)
KNOTS = np.array([0.1, 0.45, -4.0, 11.0])
COEFFICIENTS = np.concatenate([0.02 * np.sin(np.arange(11.0)), np.zeros(9)])


def gradients(k: np.ndarray, knots: np.ndarray = NO_KNOTS) -> np.ndarray:
    rows = np.empty((k.size, 5 + int(knots[3])))
    for row, at in zip(rows, k, strict=True):
        vol_gradient(RAW, knots, COEFFICIENTS, T, at, row)
    return rows


def sds(targets: np.ndarray, u: np.ndarray, prior: np.ndarray, share: float = 0.0, z: np.ndarray = K) -> np.ndarray:
    out = np.empty((targets.shape[0], targets.shape[0]))
    sandwich_covariance(u, z, prior, share, CORRELATION_LENGTH, targets, out)
    np.testing.assert_array_equal(out, out.T)
    return np.sqrt(np.diag(out))


def test_independent_noise_gives_the_reference() -> None:
    u = gradients(K) / NOISE[:, None]
    no_prior = np.zeros((5, 5))
    np.testing.assert_allclose(sds(np.eye(5), u, no_prior), REFERENCE["parameter_sd"], rtol=1e-8)
    at, expected = np.array(REFERENCE["vol_sd"]).T
    np.testing.assert_allclose(sds(gradients(at), u, no_prior), expected, rtol=1e-8)


def test_the_sandwich_is_the_one_of_dense_linear_algebra() -> None:
    u = gradients(K, KNOTS) / NOISE[:, None]
    z = K / np.sqrt(0.03)
    prior = np.zeros((16, 16))
    weak_prior(RAW, 11, 0.012, 5_000.0, prior)
    correlation = (1.0 - COMMON_SHARE) * np.eye(K.size) + COMMON_SHARE * np.exp(
        -np.abs(z[:, None] - z[None, :]) / CORRELATION_LENGTH
    )
    inverse = np.linalg.inv(u.T @ u + prior)
    covariance = inverse @ (u.T @ correlation @ u + prior) @ inverse
    targets = gradients(np.linspace(-1.0, 1.0, 9), KNOTS)
    dense = np.sqrt(np.einsum("ij,jk,ik->i", targets, covariance, targets))
    np.testing.assert_allclose(sds(targets, u, prior, COMMON_SHARE, z), dense, rtol=1e-8)


def test_gradients_are_those_of_finite_differences() -> None:
    def vol(parameters: np.ndarray, k: float) -> float:
        a, b, rho, m, sigma = parameters[:5]
        w = a + b * (rho * (k - m) + np.hypot(k - m, sigma))
        at_the_money = RAW[0] + RAW[1] * (-RAW[2] * RAW[3] + np.hypot(RAW[3], RAW[4]))
        basis, _, _ = cubic_b_spline(np.arcsinh(k / KNOTS[0]) / KNOTS[1] - KNOTS[2] - np.arange(11))
        return float(np.sqrt((w + at_the_money * basis @ parameters[5:]) / T))

    centre = np.concatenate([RAW, COEFFICIENTS[:11]])
    for k in (-0.3, -0.01, 0.0, 0.2, 0.9):
        step = 1e-6
        expected = [(vol(centre + h, k) - vol(centre - h, k)) / (2.0 * step) for h in step * np.eye(16)]
        np.testing.assert_allclose(gradients(np.array([k]), KNOTS)[0], expected, rtol=1e-6, atol=1e-8)


def test_kernels_agree_with_their_plain_twins() -> None:
    compiled, plain = np.zeros(PARAMETERS), np.zeros(PARAMETERS)
    assert raw_svi_gradient(RAW, 0.3, compiled) == pytest.approx(raw_svi_gradient.py_func(RAW, 0.3, plain), rel=1e-12)
    np.testing.assert_allclose(compiled, plain, rtol=1e-12)
    z = K / 0.17
    distance = np.abs(z - 1.1)
    weight = np.exp(-0.5 * (distance / 0.4) ** 2)
    assert local_noise(z, NOISE, 1.1) == pytest.approx(np.sqrt(weight @ NOISE**2 / weight.sum()), rel=1e-12)


def test_noise_grows_in_proportion_beyond_the_quotes() -> None:
    z = K / 0.17
    edge = local_noise(z, NOISE, z[-1])
    assert local_noise(z, NOISE, z[-1] + 200.0) == pytest.approx(201.0 * NOISE[-1], rel=1e-6)
    assert local_noise(z, NOISE, z[-1] + 1.0) > edge


def test_every_slice_has_bars_that_widen_outside_its_quotes() -> None:
    fit = calibrate_surface(known_chain())
    for s in fit.surface.slices:
        assert s.band is not None
        sd = np.array(s.band.sd)
        assert (sd > 0.0).all()
        assert sd[0] > sd[5] < sd[-1]
        assert np.array(s.band.half_width) == pytest.approx(1.959964 * sd, rel=1e-3)


def test_bars_follow_their_factors() -> None:
    wide = calibrate_surface(known_chain(), factors=lambda deviations, _: 2.0 + deviations * 0.1)
    for s in wide.surface.slices:
        assert s.band is not None
        expected = 1.959964 * np.array(s.band.sd) * (2.0 + NODES * 0.1)
        np.testing.assert_allclose(s.band.half_width, expected, rtol=1e-3)


def test_a_curve_of_another_family_has_no_bars() -> None:
    fit = calibrate_surface(known_chain(), model="essvi")
    assert all(s.band is None for s in fit.surface.slices)
    assert slice_uncertainties((), (), lambda deviations, _: deviations) == ()
