"""The two contracts of a model: a curve that answers, and a model that fits curves to smiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from app.quant.arrays import FloatArray
from app.quant.smile import Smile


class SmileCurve(Protocol):
    """One expiry's fitted smile as total variance over log-moneyness k = ln(K/F)."""

    def total_variance(self, k: FloatArray) -> FloatArray:
        """Return w(k) = vol(k)^2 t, the shape of ``k``."""
        ...

    def derivatives(self, k: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return (w, dw/dk, d2w/dk2), each the shape of ``k``."""
        ...

    def parameters(self) -> dict[str, Any]:
        """Return the published numbers; ``curve(parameters)`` of the model gives back an equal curve."""
        ...


class FitStatus(StrEnum):
    """How a fit ended; the value is the sentence an operator reads."""

    CONVERGED = "the objective stopped falling at a feasible point"
    MAX_ITERATIONS = "iterations ran out at a feasible point: usable, a cold refit may be tighter"
    FALLBACK = "the asked method found no feasible point; a simpler arbitrage-free curve family was fitted"
    INFEASIBLE = "no point without arbitrage was found: do not publish"


class Objective(StrEnum):
    """What a fit minimises over the quotes."""

    MIX = "mix"
    """Squared vol error weighted by 1 / half-spread."""
    BAND = "band"
    """A weak pull to the mid, a strong one once outside [bid, ask] (dead zone)."""
    LEAST_SQUARES = "least_squares"
    """Squared vol error over noise variance."""
    HUBER = "huber"
    STUDENT_T = "student_t"


@dataclass(frozen=True, slots=True)
class SliceState:
    """What a warm start and the temporal prior need of a previous slice."""

    expiry_ms: int
    t: float
    curve: SmileCurve


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Choices of one fit.

    ``prior_strength`` weighs the previous surface in vol space; 0 means none. Models use None for "my own
    default objective".
    """

    objective: Objective | None = None
    prior_strength: float = 0.1
    max_iterations: int = 40


@dataclass(frozen=True, slots=True)
class BindingConstraint:
    """A no-arbitrage constraint that the quotes push against; ``multiplier`` is its price in the objective."""

    kind: str
    expiry_ms: int
    k: float
    multiplier: float


@dataclass(frozen=True, slots=True)
class SurfaceSolution:
    """Curves for all smiles, in their order, and how they were found."""

    curves: tuple[SmileCurve, ...]
    status: FitStatus
    iterations: int
    objective: float
    warm: bool
    binding: tuple[BindingConstraint, ...] = field(default_factory=tuple)


class SurfaceModel(Protocol):
    """A way to fit all expiries of an underlying at once; stateless."""

    name: str
    arbitrage_free: bool
    """True where the family is fitted under no-arbitrage constraints; the certificate checks it anyway."""
    min_quotes: int
    """Quotes an expiry needs to get a curve."""

    def fit(self, smiles: Sequence[Smile], previous: Sequence[SliceState], options: FitOptions) -> SurfaceSolution:
        """Fit curves to ``smiles`` (expiries ascending), warm where ``previous`` knows the expiry."""
        ...

    def curve(self, parameters: Mapping[str, Any], *, t: float, forward: float) -> SmileCurve:
        """Return the curve that ``parameters()`` described. Raises InvalidParameters outside the domain."""
        ...
