"""What a rule of the gate finds: a status and the sentence that gives the number and its limit.

Comparisons are written so that NaN, which is on no side of any limit, is rejected.
"""

from collections.abc import Sequence

from app.quant.calibration import SurfaceStatus

Finding = tuple[SurfaceStatus, str]


def above(name: str, value: float, degraded: float, rejected: float) -> Sequence[Finding]:
    """Return what is found of a ``value`` that should not exceed ``degraded``, and by no means ``rejected``."""
    if not value <= rejected:
        return [(SurfaceStatus.REJECTED, f"{name} is {value:.4g}, more than {rejected:g}")]
    if value > degraded:
        return [(SurfaceStatus.DEGRADED, f"{name} is {value:.4g}, more than {degraded:g}")]
    return []


def below(name: str, value: float, degraded: float, rejected: float) -> Sequence[Finding]:
    """Return what is found of a ``value`` that should not be less than ``degraded``, and by no means ``rejected``."""
    if not value >= rejected:
        return [(SurfaceStatus.REJECTED, f"{name} is {value:.4g}, less than {rejected:g}")]
    if value < degraded:
        return [(SurfaceStatus.DEGRADED, f"{name} is {value:.4g}, less than {degraded:g}")]
    return []
