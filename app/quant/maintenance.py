"""A chain becomes the next surface of a series: what came before judges it, and is judged by it.

calibrate_surface knows one chain and the surface before it. How far bars must reach, and what shows over many updates
only, is kept in a small state that travels with the surface. The same chain, surface and state give the same next ones.
"""

from dataclasses import dataclass, field, replace

from app.quant.arrays import FloatArray
from app.quant.calibration import ReadChain, SurfaceFit, SurfaceStatus, calibrate_chain, read_chain
from app.quant.chain import OptionChain
from app.quant.confirmation import confirmed_smiles, unconfirmed
from app.quant.conformal import ConformalState, followed_by
from app.quant.gate import Evidence, GateState, judged, widening_since
from app.quant.gate_rules import DEFAULT_RULES, GateRules
from app.quant.innovations import innovations_of
from app.quant.listed import instruments_of, listed_share, sample_of
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.base import FitOptions
from app.quant.monitors import MonitorState, calmed, monitored
from app.quant.moved_surface import moved_fit
from app.quant.regime import BAND_WIDENING, Regime, RegimeReading, RegimeState, read_regime
from app.quant.repeats import ChainMemory, Digests, digests_of, repeated_share
from app.quant.surface import VolSurface
from app.quant.trigger import Carry, FittedAt, Recalibrate, decide, fitted_at
from app.quant.trigger_policy import EVERY_CHAIN, TriggerPolicy


@dataclass(frozen=True, slots=True)
class MaintenanceState:
    """What travels with a surface besides its document; plain numbers, so that any codec can carry it.

    ``fitted`` is the last chain that a surface was fitted to, not moved.
    """

    conformal: ConformalState = field(default_factory=ConformalState)
    monitors: MonitorState = field(default_factory=MonitorState)
    regime: RegimeState = field(default_factory=RegimeState)
    gate: GateState = field(default_factory=GateState)
    memory: ChainMemory = field(default_factory=ChainMemory)
    fitted: FittedAt | None = None


@dataclass(frozen=True, slots=True)
class MaintainedFit:
    """A fit as the gate judged it, the regime it was made in, and the state for the next chain.

    ``decision`` says whether the surface was fitted to the chain or moved to it, and why; ``fitted_ms`` is the time of
    the chain that it was fitted to.
    """

    fit: SurfaceFit
    regime: Regime
    regime_reason: str | None
    state: MaintenanceState
    decision: Recalibrate | Carry
    fitted_ms: int


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A chain as the surface before sees it; ``evidence`` is None where there is none.

    ``listed`` is the sample of its instruments that the next chain is compared with.
    """

    read: ReadChain
    digests: Digests
    listed: tuple[int, ...]
    conformal: ConformalState
    regime: RegimeReading
    evidence: Evidence | None
    decision: Recalibrate | Carry
    takes_over: bool

    @property
    def anew(self) -> bool:
        return self.shifted or self.takes_over

    @property
    def shifted(self) -> bool:
        return self.regime.regime is Regime.SHIFT

    def factors(self, deviations: FloatArray, t: FloatArray) -> FloatArray:
        return self.conformal.factors(deviations, t) * (BAND_WIDENING if self.shifted else 1.0)


def maintain_surface(
    chain: OptionChain,
    *,
    model: str = DEFAULT_MODEL,
    previous: VolSurface | None = None,
    state: MaintenanceState | None = None,
    options: FitOptions | None = None,
    previous_nodes: FloatArray | None = None,
    rules: GateRules = DEFAULT_RULES,
    trigger: TriggerPolicy = EVERY_CHAIN,
    takes_over: bool = False,
) -> MaintainedFit:
    """Make ``chain`` the successor of ``previous``, whose state is ``state`` and, if known, whose ``node_vols`` are
    ``previous_nodes``.

    In a calm a fit is warm, with the previous surface as its prior. After a shift of regime it is cold and has none,
    so that the move passes in one update, and its bars are wider. Where ``trigger`` asks for no fit, the surface is
    moved to the chain instead, unless the gate finds anything about that. A rejected fit teaches nothing: the state
    that follows is ``state`` with one more rejection.

    ``takes_over`` says that ``previous`` was of another model: the fit is then cold and without a prior as well, and
    the step between the two is no jump of the market's that its mids would have to confirm.

    Raises UnknownModel and NoSmile, as calibrate_surface.
    """
    before = state or MaintenanceState()
    options = options or FitOptions()
    seen = _sighting(chain, model, previous, before, rules, trigger, takes_over)
    fit: SurfaceFit | None = None
    decision, fitted = seen.decision, before.fitted
    if isinstance(decision, Carry) and previous and fitted:
        moved = moved_fit(
            chain,
            seen.read,
            model=MODELS[model],
            previous=previous,
            fitted_ms=fitted.as_of_ms,
            factors=seen.factors,
            previous_nodes=previous_nodes,
        )
        verdict = judged(moved, seen.read, before.gate, seen.evidence, rules)
        if verdict.status is moved.status:
            fit = verdict
        else:
            decision = Recalibrate(f"gate: moved, the surface is {verdict.status}: {verdict.reason}")
    if fit is None:
        fit = calibrate_chain(
            chain,
            seen.read,
            model=model,
            previous=previous,
            options=replace(options, prior_strength=0.0) if seen.anew else options,
            factors=seen.factors,
            cold=seen.anew,
            previous_nodes=previous_nodes,
        )
        fit, fitted = judged(fit, seen.read, before.gate, seen.evidence, rules), fitted_at(fit.surface)
    after = _state_after(fit, before, seen, fitted)
    fitted_ms = fitted.as_of_ms if fitted else chain.as_of_ms
    return MaintainedFit(fit, seen.regime.regime, seen.regime.reason, after, decision, fitted_ms)


def _sighting(
    chain: OptionChain,
    model: str,
    previous: VolSurface | None,
    before: MaintenanceState,
    rules: GateRules,
    trigger: TriggerPolicy,
    takes_over: bool,
) -> _Sighting:
    read, digests, instruments = read_chain(chain, model), digests_of(chain), instruments_of(chain)
    listed = sample_of(chain, instruments, chain.as_of_ms + rules.comparable_s * 1e3)
    calm = RegimeReading(Regime.CALM, None, before.regime)
    if previous is None:
        first = Recalibrate("it is the first")
        return _Sighting(read, digests, listed, before.conformal, calm, None, first, takes_over)
    innovations = innovations_of(read.smiles, previous)
    reading = read_regime(before.regime, innovations, read.smiles, previous, chain.as_of_ms)
    shifted = reading.regime is Regime.SHIFT
    widening = widening_since(previous, chain.as_of_ms) * (BAND_WIDENING if shifted else 1.0)
    evidence = Evidence(
        previous=previous,
        innovations=innovations,
        flagged=unconfirmed(innovations, widening, shifted=shifted),
        shifted=shifted,
        took_over=takes_over,
        repeated=repeated_share(chain, digests, before.memory),
        unchanged_s=before.memory.unchanged_s(digests, chain.as_of_ms),
        listed=listed_share(instruments, before.gate.listed),
        told=before.gate.with_refused(digests).told,
    )
    kept = confirmed_smiles(read.smiles, innovations, evidence.flagged, MODELS[model].min_quotes)
    decision = decide(
        trigger,
        model=MODELS[model],
        smiles=kept,
        as_of_ms=chain.as_of_ms,
        previous=previous,
        fitted=before.fitted,
        innovations=innovations,
        trouble=_trouble(before, reading),
    )
    read = replace(read, smiles=kept)
    conformal = followed_by(before.conformal, innovations)
    return _Sighting(read, digests, listed, conformal, reading, evidence, decision, takes_over)


def _trouble(before: MaintenanceState, reading: RegimeReading) -> str | None:
    """Return why a chain must be fitted whatever the policy says, None where nothing is the matter."""
    if reading.reason:
        return f"regime: {reading.reason}"
    if before.gate.rejected:
        return f"gate: {before.gate.rejected} chains in a row were rejected"
    raised = [alarm for alarm in before.monitors.alarms if before.fitted and alarm.raised_ms >= before.fitted.as_of_ms]
    if raised:
        return f"alarm: {raised[-1].monitor} of the {raised[-1].tenor_days:g}-day {raised[-1].series}"
    return None


def _state_after(
    fit: SurfaceFit, before: MaintenanceState, seen: _Sighting, fitted: FittedAt | None
) -> MaintenanceState:
    if fit.status is SurfaceStatus.REJECTED:
        return replace(before, gate=before.gate.with_refused(seen.digests))
    watch = calmed if seen.anew else monitored
    return MaintenanceState(
        conformal=seen.conformal,
        monitors=watch(before.monitors, fit.surface, fit.nodes),
        regime=seen.regime.state,
        gate=GateState(0, fit.report.quotes_used, seen.listed),
        memory=before.memory.after(seen.digests, fit.surface.as_of_ms),
        fitted=fitted,
    )
