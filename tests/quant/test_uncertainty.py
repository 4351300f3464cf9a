"""Error bars: the delta method against references and plain linear algebra, and how bars behave on real chains."""

import json
from dataclasses import replace
from inspect import unwrap
from pathlib import Path

import numpy as np
import pytest

from app.quant.calibration import calibrate_surface
from app.quant.models.packed_curve import SUPPORT
from app.quant.models.sandwich import sandwich_covariance
from app.quant.models.svi_curve import SviCurve, cubic_b_spline
from app.quant.models.svi_uncertainty import (
    ALIVE,
    COMMON_SHARE,
    CORRELATION_LENGTH,
    local_noise,
    raw_svi_gradient,
    vol_gradient,
    weak_prior,
)
from app.quant.smile import read_smiles
from app.quant.surface import SurfaceSlice
from app.quant.uncertainty import NODES, slice_uncertainties, unadjusted
from app.quant.warm_up import known_chain

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "svi_uncertainty.json").read_text())
RAW = np.array(REFERENCE["parameters"])
T = REFERENCE["t"]
K = np.linspace(-0.5, 0.6, 23)
NOISE = (0.004 + 0.02 * np.abs(K) ** 1.2) / 2.0
NO_KNOTS = np.zeros(4)
KNOTS = np.array([0.1, 0.45, -4.0, 11.0])
COEFFICIENTS = np.concatenate([0.02 * np.sin(np.arange(11.0)), np.zeros(9)])


AT_THE_MONEY = RAW[0] + RAW[1] * (-RAW[2] * RAW[3] + np.hypot(RAW[3], RAW[4]))


def alive_gradients(k: np.ndarray, knots: np.ndarray = NO_KNOTS) -> tuple[np.ndarray, np.ndarray]:
    rows, start = np.empty((k.size, ALIVE)), np.empty(k.size, dtype=np.int64)
    for i, at in enumerate(k):
        start[i] = vol_gradient(RAW, AT_THE_MONEY, knots, COEFFICIENTS, T, at, rows[i])
    return rows, start


def dense(rows: np.ndarray, start: np.ndarray, band: int) -> np.ndarray:
    """The gradients in all parameters, those of the band first."""
    full = np.zeros((start.size, band + 5))
    for i, j in enumerate(start):
        full[i, j : j + SUPPORT], full[i, band:] = rows[i, :SUPPORT], rows[i, SUPPORT:]
    return full


def gradients(k: np.ndarray, knots: np.ndarray = NO_KNOTS) -> np.ndarray:
    return dense(*alive_gradients(k, knots), max(int(knots[3]), SUPPORT))


def sandwiched(
    at: np.ndarray, knots: np.ndarray, prior: np.ndarray, share: float = 0.0, z: np.ndarray = K
) -> tuple[np.ndarray, np.ndarray]:
    """The variances of SVI's parameters and of the vols at ``at``, and the covariance of the former."""
    rows, start = alive_gradients(K, knots)
    targets = np.concatenate([np.eye(len(prior))[-5:], gradients(at, knots)]).T.copy()
    variance, covariance = np.empty(targets.shape[1]), np.empty((5, 5))
    u = rows / NOISE[:, None]
    sandwich_covariance(u, start, z, prior, share, CORRELATION_LENGTH, targets, variance, covariance)
    np.testing.assert_allclose(variance[:5], np.diag(covariance), rtol=1e-12)
    np.testing.assert_array_equal(covariance, covariance.T)
    return variance, covariance


def test_independent_noise_gives_the_reference() -> None:
    no_prior = np.diag([1.0] * SUPPORT + [0.0] * 5)
    at, expected = np.array(REFERENCE["vol_sd"]).T
    variance, _ = sandwiched(at, NO_KNOTS, no_prior)
    np.testing.assert_allclose(np.sqrt(variance[:5]), REFERENCE["parameter_sd"], rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(variance[5:]), expected, rtol=1e-8)


@pytest.mark.parametrize("knots", [NO_KNOTS, KNOTS, np.array([0.1, 0.6, -1.0, 3.0])])
def test_the_sandwich_is_the_one_of_dense_linear_algebra(knots: np.ndarray) -> None:
    u = gradients(K, knots) / NOISE[:, None]
    z = K / np.sqrt(0.03)
    prior = np.zeros((u.shape[1], u.shape[1]))
    weak_prior(RAW, knots, 0.012, 5_000.0, prior)
    correlation = (1.0 - COMMON_SHARE) * np.eye(K.size) + COMMON_SHARE * np.exp(
        -np.abs(z[:, None] - z[None, :]) / CORRELATION_LENGTH
    )
    inverse = np.linalg.inv(u.T @ u + prior)
    expected = inverse @ (u.T @ correlation @ u + prior) @ inverse
    at = np.linspace(-1.0, 1.0, 9)
    targets = gradients(at, knots)
    variance, covariance = sandwiched(at, knots, prior, COMMON_SHARE, z)
    np.testing.assert_allclose(variance[5:], np.einsum("ij,jk,ik->i", targets, expected, targets), rtol=1e-8)
    np.testing.assert_allclose(covariance, expected[-5:, -5:], rtol=1e-8)


def test_gradients_are_those_of_finite_differences() -> None:
    def vol(parameters: np.ndarray, k: float) -> float:
        a, b, rho, m, sigma = parameters[-5:]
        w = a + b * (rho * (k - m) + np.hypot(k - m, sigma))
        basis, _, _ = cubic_b_spline(np.arcsinh(k / KNOTS[0]) / KNOTS[1] - KNOTS[2] - np.arange(11))
        return float(np.sqrt((w + AT_THE_MONEY * basis @ parameters[:11]) / T))

    centre = np.concatenate([COEFFICIENTS[:11], RAW])
    for k in (-0.3, -0.01, 0.0, 0.2, 0.9):
        step = 1e-6
        expected = [(vol(centre + h, k) - vol(centre - h, k)) / (2.0 * step) for h in step * np.eye(16)]
        np.testing.assert_allclose(gradients(np.array([k]), KNOTS)[0], expected, rtol=1e-6, atol=1e-8)


def test_kernels_agree_with_their_plain_twins() -> None:
    compiled, plain = np.zeros(5), np.zeros(5)
    assert raw_svi_gradient(RAW, 0.3, compiled) == pytest.approx(unwrap(raw_svi_gradient)(RAW, 0.3, plain), rel=1e-12)
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


def test_bars_widen_where_the_curve_misses_a_quote_by_more_than_its_noise() -> None:
    fit, smile = calibrate_surface(known_chain()), read_smiles(known_chain()).smiles[0]
    middle = int(np.abs(smile.k).argmin())

    def sds(missed_by: float) -> np.ndarray:
        mid = smile.mid_vol.copy()
        mid[middle] += missed_by
        (known,) = slice_uncertainties([replace(smile, mid_vol=mid)], fit.surface.slices[:1], unadjusted)
        assert known is not None
        return np.array(known.band.sd)

    at_the_money = int(np.abs(NODES).argmin())
    within, beyond = sds(0.5 * smile.noise[middle]), sds(0.10)
    np.testing.assert_allclose(within, sds(0.0), rtol=1e-12)
    assert beyond[at_the_money] > max(0.02, 3.0 * within[at_the_money])


def test_a_curve_of_another_family_has_no_bars() -> None:
    fit = calibrate_surface(known_chain(), model="essvi")
    assert all(s.band is None for s in fit.surface.slices)
    assert slice_uncertainties((), (), lambda deviations, _: deviations) == ()


def test_a_slice_without_variance_at_the_money_has_no_bars() -> None:
    smile = read_smiles(known_chain()).smiles[0]
    for curve in (SviCurve(-0.125, 0.25, 0.0, 0.0, 0.5), SviCurve(0.02, 0.0, 0.0, 0.0, 0.2)):
        slices = [SurfaceSlice(smile.expiry_ms, smile.t, smile.forward, smile.forward_sd, 1.0, curve)]
        assert slice_uncertainties([smile], slices, unadjusted) == (None,)
