"""The eSSVI slice: w(k) = (theta + rho psi k + sqrt(psi^2 k^2 + 2 theta rho psi k + theta^2)) / 2.

Hendriks and Martini 2019; theta = w(0), rho psi = w'(0), wing slopes psi (1 +- rho) / 2. It is the raw SVI slice
a = theta (1 - rho^2) / 2, b = psi / 2, m = -rho theta / psi, sigma = sqrt(1 - rho^2) theta / psi.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.errors import InvalidParameters
from app.quant.models.svi_curve import SviCurve


@dataclass(frozen=True, slots=True)
class EssviCurve:
    """One slice. Raises InvalidParameters outside theta > 0, psi > 0, |rho| < 1."""

    theta: float
    rho: float
    psi: float

    def __post_init__(self) -> None:
        if not np.isfinite((self.theta, self.rho, self.psi)).all():
            raise InvalidParameters(f"eSSVI parameters must be finite, got {self}")
        if self.theta <= 0.0 or self.psi <= 0.0 or not -1.0 < self.rho < 1.0:
            raise InvalidParameters(f"eSSVI needs theta > 0, psi > 0, |rho| < 1; got {self}")

    @property
    def svi(self) -> SviCurve:
        """The same slice in raw SVI parameters."""
        ratio = self.theta / self.psi
        squeeze = 1.0 - self.rho * self.rho
        return SviCurve(
            a=0.5 * self.theta * squeeze,
            b=0.5 * self.psi,
            rho=self.rho,
            m=-self.rho * ratio,
            sigma=float(np.sqrt(squeeze)) * ratio,
        )

    def total_variance(self, k: FloatArray) -> FloatArray:
        """Return w(k), the shape of ``k``."""
        return self.svi.total_variance(k)

    def derivatives(self, k: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return (w, w', w'') in k."""
        return self.svi.derivatives(k)

    def parameters(self) -> dict[str, Any]:
        """Return theta, rho, psi."""
        return {"theta": self.theta, "rho": self.rho, "psi": self.psi}


def essvi_curve(parameters: Mapping[str, Any]) -> EssviCurve:
    """Return the curve that :meth:`EssviCurve.parameters` described. Raises InvalidParameters outside the domain."""
    theta, rho, psi = (float(parameters[name]) for name in ("theta", "rho", "psi"))
    return EssviCurve(theta, rho, psi)
