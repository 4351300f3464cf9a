"""What a fit waits for, in numbers; trigger.py applies it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TriggerPolicy:
    """Any of these, where given, asks for a fit; none of them asks for one of every chain.

    ``after_s`` seconds since the last fit, ``outside`` share of quotes beyond the bands, ``forward`` largest move of a
    forward since the fit, as a logarithm.
    """

    after_s: float | None = None
    outside: float | None = None
    forward: float | None = None

    @property
    def fits_every_chain(self) -> bool:
        """Return True where no condition is given."""
        return self.after_s is None and self.outside is None and self.forward is None


EVERY_CHAIN: Final = TriggerPolicy()
