"""A challenger against the champion: the losses they differed by, what can be said of them, and when it takes over.

The loss is the negative log-score of a chain. A promotion needs more than a verdict, because the test is taken again
with every chain and would sooner or later say yes by chance: enough scores, a small p-value for a while, a gain that
matters, and a certificate of every surface. It starts the next contest from nothing, so the way back is as long.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from app.quant.diebold_mariano import DieboldMariano, diebold_mariano
from app.quant.scoring import WINDOW, MeanScore

SIGNIFICANT: Final = 0.05
"""p-value below which a verdict is given."""
PROMOTING: Final = 0.01
"""p-value below which a challenger leads."""
LEAST_SCORES: Final = 96
"""Scores before a promotion: 8 hours of 5-minute chains, so that one release or one quiet hour does not decide."""
LEAST_GAIN: Final = 0.01
"""Nats a quote: below, two models are as good as each other, however sure the test is of the difference."""
LEADING_FOR: Final = 12
"""Chains in a row, an hour of 5-minute ones, through which a challenger leads before it takes over."""


class Verdict(StrEnum):
    """What the test says of a challenger at SIGNIFICANT."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no_difference"


@dataclass(frozen=True, slots=True)
class Contest:
    """The last WINDOW loss differentials, challenger less champion, and for how many chains the challenger leads."""

    differentials: tuple[float, ...] = ()
    leading: int = 0

    def after(self, differential: float) -> "Contest":
        """Return the contest with one more differential."""
        grown = Contest((*self.differentials, differential)[-WINDOW:])
        return Contest(grown.differentials, self.leading + 1 if grown.leads() else 0)

    def test(self) -> DieboldMariano | None:
        """Return the Diebold-Mariano test; None while nothing can be said."""
        return diebold_mariano(np.array(self.differentials))

    def verdict(self) -> Verdict:
        """Return what the test says."""
        test = self.test()
        if test is None or test.p_value >= SIGNIFICANT:
            return Verdict.NO_DIFFERENCE
        return Verdict.BETTER if test.statistic < 0.0 else Verdict.WORSE

    def gain(self) -> float:
        """Return by how many nats a quote the challenger was better, on average; 0 before the first chain."""
        return -float(np.mean(self.differentials)) if self.differentials else 0.0

    def leads(self) -> bool:
        """Return True where the challenger is better beyond doubt and by enough."""
        if len(self.differentials) < LEAST_SCORES or self.gain() < LEAST_GAIN:
            return False
        test = self.test()
        return test is not None and test.p_value < PROMOTING

    def is_won(self, mean: MeanScore) -> bool:
        """Return True where the challenger, whose mean score is ``mean``, should take over."""
        return self.leading >= LEADING_FOR and mean.arbitrage_free == 1.0
