"""Bad chains, each made from a recorded one by a stated edit, and the markets they are sent into."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.calibration import SurfaceStatus
from app.quant.chain import ExpiryQuotes, OptionChain
from app.quant.maintenance import MaintainedFit, maintain_surface
from tests.quant.market import maintained_series, recorded_chain, recorded_chains, retimed

STEP_MS: Final = 300_000
CALM: Final = 11
MOVING: Final = 19
"""Places in the recorded day: an hour after its begin, and a quarter of an hour after US inflation figures."""


@dataclass(frozen=True, slots=True)
class Market:
    """A surface that stands and the true chains that follow it.

    ``earlier`` is a chain of half an hour before the first of them, ``other`` one of another underlying.
    """

    before: MaintainedFit
    earlier: OptionChain
    chains: tuple[OptionChain, ...]
    other: OptionChain

    @property
    def now(self) -> OptionChain:
        """The chain that an edit damages."""
        return self.chains[0]

    def after(self, fit: MaintainedFit) -> "Market":
        """The market one chain later, when ``fit`` stands if it was not rejected."""
        rejected = fit.fit.status is SurfaceStatus.REJECTED
        stands = replace(self.before, state=fit.state) if rejected else fit
        return replace(self, before=stands, chains=self.chains[1:])


@cache
def market(name: str) -> Market:
    """The market of ``name``: BTC or ETH of 2023-04-12, calm or moving; or BTC of 2026-08-01, whose vols stay."""
    underlying, _, place = name.partition(" ")
    if place == "of 2026":
        chain = recorded_chain("deribit_btc_chain_2026-08-01T175804Z.json.gz")
        chains = tuple(retimed(chain, chain.as_of_ms + n * STEP_MS) for n in (1, 2, 3))
        earlier = retimed(chain, chain.as_of_ms - 5 * STEP_MS)
        return Market(maintain_surface(chain), earlier, chains, recorded_chains("ETH")[CALM])
    at = {"calm": CALM, "moving": MOVING}[place]
    other = recorded_chains({"BTC": "ETH", "ETH": "BTC"}[underlying])[at + 1]
    chains = recorded_chains(underlying)
    return Market(maintained_series(underlying)[at], chains[at - 5], chains[at + 1 : at + 4], other)


MARKETS: Final = ("BTC calm", "BTC moving", "ETH calm", "ETH moving", "BTC of 2026")

Edit = Callable[[Market], OptionChain]


def by_expiry(chain: OptionChain, edit: Callable[[ExpiryQuotes, int], ExpiryQuotes]) -> OptionChain:
    """Return ``chain`` with each expiry edited, by its place."""
    return replace(chain, expiries=tuple(edit(e, i) for i, e in enumerate(chain.expiries)))


def scaled(e: ExpiryQuotes, scale: FloatArray) -> ExpiryQuotes:
    """Return the quotes with both prices multiplied."""
    return replace(e, bid=e.bid * scale, ask=e.ask * scale)


def _forward(m: Market, e: ExpiryQuotes) -> float:
    stood = {s.expiry_ms: s.forward for s in m.before.fit.surface.slices}
    return stood.get(e.expiry_ms, next(iter(stood.values())))


def _traded(e: ExpiryQuotes) -> np.ndarray:
    traded: np.ndarray = (e.bid > 0.0) & (e.ask > 0.0)
    return traded


def stale(m: Market) -> OptionChain:
    """The chain of half an hour before, prices, forwards and stamps, as of now."""
    return replace(m.earlier, as_of_ms=m.now.as_of_ms, sequence=m.now.sequence)


def stale_restamped(m: Market) -> OptionChain:
    """The same under the stamps of now."""
    lag = m.now.as_of_ms - m.earlier.as_of_ms
    fresh = by_expiry(m.earlier, lambda e, _: replace(e, timestamp_ms=e.timestamp_ms + lag))
    return replace(fresh, as_of_ms=m.now.as_of_ms, sequence=m.now.sequence)


def stale_third(m: Market) -> OptionChain:
    """Every third expiry as it was half an hour before, under the stamps of now."""
    old = {e.expiry_ms: e for e in stale_restamped(m).expiries}
    return by_expiry(m.now, lambda e, i: old.get(e.expiry_ms, e) if i % 3 == 0 else e)


def _finger(m: Market, low: float, high: float, scale: float, *, puts: bool = False) -> OptionChain:
    """The first traded call (and put) of the fourth expiry with strike over forward in a range, at another price."""

    def edit(e: ExpiryQuotes, i: int) -> ExpiryQuotes:
        ratio = e.strike / _forward(m, e)
        side = np.ones(len(e), dtype=np.bool_) if puts else e.is_call
        rows = np.flatnonzero(side & (ratio > low) & (ratio < high) & _traded(e))
        factor = np.ones(len(e))
        if i == 3 and rows.size:
            factor[(e.strike == e.strike[rows[0]]) & side] = scale
        return scaled(e, factor)

    return by_expiry(m.now, edit)


def finger_at_the_money(m: Market) -> OptionChain:
    """One call near the money half as dear again."""
    return _finger(m, 0.99, 1.06, 1.5)


def finger_both_sides(m: Market) -> OptionChain:
    """The call and the put of one strike near the money half as dear again."""
    return _finger(m, 0.99, 1.06, 1.5, puts=True)


def finger_in_the_wing(m: Market) -> OptionChain:
    """One call a fifth or more out of the money at three times its price."""
    return _finger(m, 1.2, 1.8, 3.0)


def _quarter(m: Market, draw: Callable[[np.random.Generator], float]) -> OptionChain:
    rng = np.random.default_rng(8)

    def edit(e: ExpiryQuotes, _: int) -> ExpiryQuotes:
        return scaled(e, np.array([draw(rng) if rng.random() < 0.25 else 1.0 for _ in range(len(e))]))

    return by_expiry(m.now, edit)


def quarter_up(m: Market) -> OptionChain:
    """A random quarter of the quotes a quarter dearer."""
    return _quarter(m, lambda _: 1.25)


def quarter_down(m: Market) -> OptionChain:
    """A random quarter of the quotes a fifth cheaper."""
    return _quarter(m, lambda _: 0.8)


def quarter_scattered(m: Market) -> OptionChain:
    """A random quarter of the quotes up to a third dearer or cheaper."""
    return _quarter(m, lambda rng: float(rng.uniform(2 / 3, 4 / 3)))


def one_side_up(m: Market) -> OptionChain:
    """All out-of-the-money calls of the fourth expiry a quarter dearer."""

    def edit(e: ExpiryQuotes, i: int) -> ExpiryQuotes:
        hit = e.is_call & (e.strike > _forward(m, e)) & (i == 3)
        return scaled(e, np.where(hit, 1.25, 1.0))

    return by_expiry(m.now, edit)


def forwards_up(m: Market) -> OptionChain:
    """Every quoted forward and future 1 % too high."""
    futures = tuple(replace(f, bid=1.01 * f.bid, ask=1.01 * f.ask) for f in m.now.futures)
    return replace(by_expiry(m.now, lambda e, _: replace(e, forward=1.01 * e.forward)), futures=futures)


def one_forward_down(m: Market) -> OptionChain:
    """The quoted forward and the future of the fourth expiry 1 % too low."""
    at = m.now.expiries[3].expiry_ms
    futures = tuple(replace(f, bid=0.99 * f.bid, ask=0.99 * f.ask) if f.expiry_ms == at else f for f in m.now.futures)
    edited = by_expiry(m.now, lambda e, i: replace(e, forward=0.99 * e.forward) if i == 3 else e)
    return replace(edited, futures=futures)


def expiry_missing(m: Market) -> OptionChain:
    """Without the expiry in the middle."""
    middle = len(m.now.expiries) // 2
    return replace(m.now, expiries=m.now.expiries[:middle] + m.now.expiries[middle + 1 :])


def crossed(m: Market) -> OptionChain:
    """Bid and ask of a third of the quotes interchanged, of the fourth expiry all."""
    rng = np.random.default_rng(9)

    def edit(e: ExpiryQuotes, i: int) -> ExpiryQuotes:
        swap = (rng.random(len(e)) < 1 / 3) | (i == 3)
        return replace(e, bid=np.where(swap, e.ask, e.bid), ask=np.where(swap, e.bid, e.ask))

    return by_expiry(m.now, edit)


def half_missing(m: Market) -> OptionChain:
    """A random half of the quotes gone."""
    rng = np.random.default_rng(10)

    def edit(e: ExpiryQuotes, _: int) -> ExpiryQuotes:
        gone = rng.random(len(e)) < 0.5
        return replace(e, bid=np.where(gone, np.nan, e.bid), ask=np.where(gone, np.nan, e.ask))

    return by_expiry(m.now, edit)


def another_underlying(m: Market) -> OptionChain:
    """The chain of another underlying under this one's name; expiries are moved to this chain's, in their order."""
    lag = m.now.as_of_ms - m.other.as_of_ms
    pairs = zip(m.other.expiries, m.now.expiries, strict=False)
    expiries = (replace(e, expiry_ms=now.expiry_ms, timestamp_ms=e.timestamp_ms + lag) for e, now in pairs)
    return replace(m.now, expiries=tuple(expiries), futures=())


def neighbours_swapped(m: Market) -> OptionChain:
    """The prices of the fourth and the fifth expiry interchanged where both list the strike."""
    third, fourth = m.now.expiries[3:5]

    def taken(e: ExpiryQuotes, source: ExpiryQuotes) -> ExpiryQuotes:
        rows = {key: j for j, key in enumerate(zip(source.strike.tolist(), source.is_call.tolist(), strict=True))}
        at = [rows.get(key, -1) for key in zip(e.strike.tolist(), e.is_call.tolist(), strict=True)]
        known = np.array(at) >= 0
        return replace(e, bid=np.where(known, source.bid[at], e.bid), ask=np.where(known, source.ask[at], e.ask))

    expiries = list(m.now.expiries)
    expiries[3:5] = [taken(third, fourth), taken(fourth, third)]
    return replace(m.now, expiries=tuple(expiries))


EDITS: Final[Mapping[str, Edit]] = {
    edit.__name__: edit
    for edit in (
        stale,
        stale_restamped,
        stale_third,
        finger_at_the_money,
        finger_both_sides,
        finger_in_the_wing,
        quarter_up,
        quarter_down,
        quarter_scattered,
        one_side_up,
        forwards_up,
        one_forward_down,
        expiry_missing,
        crossed,
        half_missing,
        another_underlying,
        neighbours_swapped,
    )
}
