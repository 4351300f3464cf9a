"""A chain becomes the next surface of a series: what came before judges it, and is judged by it.

calibrate_surface knows one chain and the surface before it. How far bars must reach, and what shows over many updates
only, is kept in a small state that travels with the surface. The same chain, surface and state give the same next ones.
"""

from dataclasses import dataclass, field

from app.quant.calibration import SurfaceFit, calibrate_chain, read_chain
from app.quant.chain import OptionChain
from app.quant.conformal import ConformalState, followed_by
from app.quant.innovations import innovations_of
from app.quant.models import DEFAULT_MODEL
from app.quant.models.base import FitOptions
from app.quant.monitors import MonitorState, monitored
from app.quant.surface import VolSurface


@dataclass(frozen=True, slots=True)
class MaintenanceState:
    """What travels with a surface besides its document; plain numbers, so that any codec can carry it."""

    conformal: ConformalState = field(default_factory=ConformalState)
    monitors: MonitorState = field(default_factory=MonitorState)


@dataclass(frozen=True, slots=True)
class MaintainedFit:
    """A fit, and the state that goes with it."""

    fit: SurfaceFit
    state: MaintenanceState


def maintain_surface(
    chain: OptionChain,
    *,
    model: str = DEFAULT_MODEL,
    previous: VolSurface | None = None,
    state: MaintenanceState | None = None,
    options: FitOptions | None = None,
) -> MaintainedFit:
    """Fit ``chain`` as the successor of ``previous``, whose state is ``state``.

    Raises UnknownModel and NoSmile, as calibrate_surface.
    """
    before = state or MaintenanceState()
    read = read_chain(chain, model)
    conformal = before.conformal
    if previous:
        conformal = followed_by(conformal, innovations_of(read.smiles, previous))
    fit = calibrate_chain(
        chain, read, model=model, previous=previous, options=options or FitOptions(), factors=conformal.factors
    )
    monitors = monitored(before.monitors, fit.surface, fit.nodes)
    return MaintainedFit(fit, MaintenanceState(conformal, monitors))
