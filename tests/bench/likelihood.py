"""Which objective, which prior, which model: each series scored on the chain after each of its surfaces.

    python -m tests.bench.likelihood

prints a Markdown table over the recorded 5-minute chains of BTC and ETH. A series is maintained as the service does it,
with its own gate and bars; a rejected fit leaves the surface before in place, and that one is scored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from app.feeds.recording import SHIPPED, read_recorded
from app.quant.arrays import FloatArray
from app.quant.calibration import SurfaceStatus, read_chain
from app.quant.chain import OptionChain
from app.quant.maintenance import MaintenanceState, maintain_surface
from app.quant.models import DEFAULT_MODEL
from app.quant.models.base import FitOptions, Objective
from app.quant.scoring import Score, score_surfaces
from app.quant.surface import VolSurface
from app.venues import VENUES


@dataclass
class Series:
    """One way to fit, and what came of it on one underlying."""

    model: str
    objective: Objective | None
    prior: bool
    surface: VolSurface | None = None
    state: MaintenanceState | None = None
    scores: list[Score] = field(default_factory=list)
    nodes: list[FloatArray] = field(default_factory=list)
    rejected: int = 0

    def take(self, chain: OptionChain) -> None:
        """Make the surface of ``chain`` the one that stands."""
        strength = FitOptions().prior_strength if self.prior else 0.0
        options = FitOptions(objective=self.objective, prior_strength=strength)
        made = maintain_surface(chain, model=self.model, previous=self.surface, state=self.state, options=options)
        self.state = made.state
        if made.fit.status is SurfaceStatus.REJECTED:
            self.rejected += 1
        else:
            self.surface = made.fit.surface
            self.nodes.append(made.fit.nodes)

    def jitter(self) -> FloatArray:
        """Squared changes of the vols at the nodes, from one surface to the next."""
        return np.concatenate([((after - before) ** 2).ravel() for before, after in pairwise(self.nodes)])


def ways() -> Iterator[Series]:
    """The ways that are compared; None is the model's own objective: for svi_spline mix, then band for its residual."""
    for model, own in ((DEFAULT_MODEL, None), ("svi", Objective.MIX)):
        for objective in dict.fromkeys((own, *Objective)):
            yield Series(model, objective, prior=True)
        yield Series(model, own, prior=False)
        yield Series(model, Objective.STUDENT_T, prior=False)
    yield Series("essvi", None, prior=True)


def scored(chains: Sequence[OptionChain]) -> list[Series]:
    """Return every series over ``chains``, all scored on the same quotes."""
    series = list(ways())
    for chain in chains:
        standing = [each.surface for each in series if each.surface]
        if len(standing) == len(series):
            smiles = read_chain(chain, DEFAULT_MODEL).smiles
            scores = score_surfaces(smiles, standing, [True] * len(standing), chain.as_of_ms)
            for each, score in zip(series, scores or (), strict=bool(scores)):
                each.scores.append(score)
        for each in series:
            each.take(chain)
    return series


def row(both: Sequence[Series]) -> str:
    """Return the table's line of one way, over all underlyings."""
    first = both[0]
    scores = [score for each in both for score in each.scores]
    mean = {name: np.mean([getattr(s, name) for s in scores]) for name in ("log_score", "weighted_error", "outside")}
    rmse = 100.0 * np.sqrt(np.mean([s.rmse_vol**2 for s in scores]))
    jitter = 100.0 * np.sqrt(np.nanmean(np.concatenate([each.jitter() for each in both])))
    objective = first.objective.value.replace("_", " ") if first.objective else "its own"
    cells = (
        f"`{first.model}`",
        objective,
        "on" if first.prior else "off",
        f"{mean['log_score']:.3f}",
        f"{mean['weighted_error']:.4f}",
        f"{rmse:.3f}",
        f"{100.0 * (1.0 - mean['outside']):.1f} %",
        f"{jitter:.3f}",
        str(sum(each.rejected for each in both)),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    by_underlying = []
    for path in SHIPPED:
        chains = [VENUES[each.venue].parse(each.body, received_ms=0) for each in read_recorded(path)]
        by_underlying.append(scored(chains))
    print("| model | objective | prior | log-score | error / spread | rmse, vol points | inside | jitter | held back |")
    print("|---|---|---|---|---|---|---|---|---|")
    for both in zip(*by_underlying, strict=True):
        print(row(both))


if __name__ == "__main__":
    main()
