"""Surfaces of record for the tests of certificate and interpolation, and random ones."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from app.quant.models.base import SliceState
from app.quant.models.svi_curve import SplineResidual, SviCurve, svi_curve

REFERENCE = Path(__file__).parents[1] / "reference"
ARBITRAGE = json.loads((REFERENCE / "svi_arbitrage.json").read_text())
BTC = json.loads((REFERENCE / "btc_surface.json").read_text())


def milliseconds(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def surface_of_record(name: str) -> list[SliceState]:
    return [SliceState(milliseconds(s["expiry"]), s["t"], svi_curve(s)) for s in ARBITRAGE[name]["slices"]]


def btc_surface() -> list[SliceState]:
    return [SliceState(s["expiry_ms"], s["t"], svi_curve(s["parameters"])) for s in BTC["slices"]]


def slices_of(*curves: Any) -> list[SliceState]:
    return [
        SliceState(milliseconds("2026-01-01") + 7 * 86_400_000 * i, 0.02 * (i + 1), c) for i, c in enumerate(curves)
    ]


def random_svi(rng: np.random.Generator) -> SviCurve:
    """A raw SVI slice, about half of the time with butterfly arbitrage."""
    b = 10.0 ** rng.uniform(-2.5, 0.28)
    rho = rng.uniform(-0.97, 0.97)
    sigma = 10.0 ** rng.uniform(-2.0, 0.3)
    m = rng.normal(0.0, 0.3)
    least = 10.0 ** rng.uniform(-4.0, -0.7)
    return SviCurve(least - b * sigma * np.sqrt(1.0 - rho * rho), b, rho, m, sigma)


def ssvi(theta: float, rho: float, phi: float) -> SviCurve:
    """SSVI slice as raw SVI (Gatheral and Jacquier 2014, section 4.1)."""
    root = np.sqrt(1.0 - rho * rho)
    return SviCurve(0.5 * theta * root * root, 0.5 * theta * phi, rho, -rho / phi, root / phi)


def with_residual(curve: SviCurve, rng: np.random.Generator, size: float, count: int = 12) -> SviCurve:
    scale = 0.7 * float(np.sqrt(curve.total_variance(np.zeros(1))[0]))
    coefficients = tuple(float(c) for c in rng.normal(0.0, size, count))
    return SviCurve(
        curve.a,
        curve.b,
        curve.rho,
        curve.m,
        curve.sigma,
        SplineResidual(scale, 0.45, int(rng.integers(-8, -3)), coefficients),
    )
