"""A chain becomes the next surface of a series: what came before judges it, and is judged by it.

calibrate_surface knows one chain and the surface before it. How far bars must reach, and what shows over many updates
only, is kept in a small state that travels with the surface. The same chain, surface and state give the same next ones.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.calibration import ReadChain, SurfaceFit, SurfaceStatus, calibrate_chain, read_chain
from app.quant.chain import OptionChain
from app.quant.confirmation import confirmed_smiles, unconfirmed
from app.quant.conformal import ConformalState, followed_by
from app.quant.gate import Evidence, GateState, judged, widening_since
from app.quant.innovations import Innovations, innovations_of
from app.quant.models import DEFAULT_MODEL, MODELS
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
    gate: GateState = field(default_factory=GateState)


@dataclass(frozen=True, slots=True)
class MaintainedFit:
    """A fit as the gate judged it, the regime it was made in, and the state for the next chain."""

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
    previous_nodes: FloatArray | None = None,
) -> MaintainedFit:
    """Fit ``chain`` as the successor of ``previous``, whose state is ``state`` and, if known, whose ``node_vols`` are
    ``previous_nodes``.

    In a calm the fit is warm, with the previous surface as its prior. After a shift of regime it is cold and has none,
    so that the move passes in one update, and its bars are wider. A rejected fit teaches nothing: the state that
    follows is ``state`` with one more rejection.

    Raises UnknownModel and NoSmile, as calibrate_surface.
    """
    before = state or MaintenanceState()
    options = options or FitOptions()
    read = read_chain(chain, model)
    conformal = before.conformal
    reading = RegimeReading(Regime.CALM, None, before.regime)
    evidence: Evidence | None = None
    if previous:
        innovations = innovations_of(read.smiles, previous)
        conformal = followed_by(conformal, innovations)
        reading = read_regime(before.regime, innovations, read.smiles, previous, chain.as_of_ms)
        evidence = _evidence(previous, innovations, reading, chain.as_of_ms)
        kept = confirmed_smiles(read.smiles, innovations, evidence.flagged, MODELS[model].min_quotes)
        read = ReadChain(kept, read.excluded, read.rate_curve)
    shifted = reading.regime is Regime.SHIFT

    def factors(deviations: FloatArray, t: FloatArray) -> FloatArray:
        return conformal.factors(deviations, t) * (BAND_WIDENING if shifted else 1.0)

    fit = calibrate_chain(
        chain,
        read,
        model=model,
        previous=previous,
        options=replace(options, prior_strength=0.0) if shifted else options,
        factors=factors,
        cold=shifted,
        previous_nodes=previous_nodes,
    )
    fit = judged(fit, read, before.gate, evidence)
    if fit.status is SurfaceStatus.REJECTED:
        after = replace(before, gate=replace(before.gate, rejected=before.gate.rejected + 1))
    else:
        watch = calmed if shifted else monitored
        after = MaintenanceState(
            conformal=conformal,
            monitors=watch(before.monitors, fit.surface, fit.nodes),
            regime=reading.state,
            gate=GateState(0, fit.report.quotes_used),
        )
    return MaintainedFit(fit, reading.regime, reading.reason, after)


def _evidence(previous: VolSurface, innovations: Innovations, reading: RegimeReading, as_of_ms: int) -> Evidence:
    """Return what the gate judges by. In a shift of regime bars mean little, so no quote is left out by them."""
    shifted = reading.regime is Regime.SHIFT
    flagged = unconfirmed(innovations, widening_since(previous, as_of_ms))
    return Evidence(previous, innovations, np.zeros_like(flagged) if shifted else flagged, shifted)
