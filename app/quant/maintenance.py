"""A chain becomes the next surface of a series: what came before judges it, and is judged by it.

calibrate_surface knows one chain and the surface before it. How far bars must reach, and what shows over many updates
only, is kept in a small state that travels with the surface. The same chain, surface and state give the same next ones.
"""

from dataclasses import dataclass, field, replace

from app.quant.arrays import FloatArray
from app.quant.calibration import SurfaceFit, calibrate_chain, read_chain
from app.quant.chain import OptionChain
from app.quant.conformal import ConformalState, followed_by
from app.quant.innovations import innovations_of
from app.quant.models import DEFAULT_MODEL
from app.quant.models.base import FitOptions
from app.quant.monitors import MonitorState, calmed, monitored
from app.quant.regime import BAND_WIDENING, Regime, RegimeReading, RegimeState, read_regime
from app.quant.surface import VolSurface


@dataclass(frozen=True, slots=True)
class MaintenanceState:
    """What travels with a surface besides its document; plain numbers, so that any codec can carry it."""

    conformal: ConformalState = field(default_factory=ConformalState)
    monitors: MonitorState = field(default_factory=MonitorState)
    regime: RegimeState = field(default_factory=RegimeState)


@dataclass(frozen=True, slots=True)
class MaintainedFit:
    """A fit, the regime it was made in, and the state that goes with it."""

    fit: SurfaceFit
    regime: Regime
    regime_reason: str | None
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

    In a calm the fit is warm, with the previous surface as its prior. After a shift of regime it is cold and has none,
    so that the move passes in one update, and its bars are wider.

    Raises UnknownModel and NoSmile, as calibrate_surface.
    """
    before = state or MaintenanceState()
    options = options or FitOptions()
    read = read_chain(chain, model)
    conformal = before.conformal
    reading = RegimeReading(Regime.CALM, None, before.regime)
    if previous:
        innovations = innovations_of(read.smiles, previous)
        conformal = followed_by(conformal, innovations)
        reading = read_regime(before.regime, innovations, read.smiles, previous, chain.as_of_ms)
    shifted = reading.regime is Regime.SHIFT

    def factors(deviations: FloatArray, t: float) -> FloatArray:
        return conformal.factors(deviations, t) * (BAND_WIDENING if shifted else 1.0)

    fit = calibrate_chain(
        chain,
        read,
        model=model,
        previous=previous,
        options=replace(options, prior_strength=0.0) if shifted else options,
        factors=factors,
        cold=shifted,
    )
    watch = calmed if shifted else monitored
    after = MaintenanceState(conformal, watch(before.monitors, fit.surface, fit.nodes), reading.state)
    return MaintainedFit(fit, reading.regime, reading.reason, after)
