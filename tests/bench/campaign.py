"""Perturbed recorded chains by the ten thousand through the whole calibration: what breaks, and the case that shows it.

``python -m tests.bench.campaign --count 30000 --seed 1`` prints a line for each failure and the counts at the end.
A failure is repeated by its seed and number, and told in words: ``--seed 1 --case 4711``. With ``--mishaps`` the edits
are those of mishaps.py, which happen to whole expiries.
"""

import argparse
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np

from app.quant.arbitrage import certify
from app.quant.calibration import NoSmile, SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.gate import widening_since
from app.quant.gate_rules import GateRules
from app.quant.innovations import innovations_of
from app.quant.maintenance import MaintainedFit, MaintenanceState, maintain_surface
from app.quant.parity_check import LEAST_STRIKES
from app.quant.smile import read_smiles
from app.quant.surface import VolSurface
from app.service.document import decode_document, encode_document
from app.service.evaluate import surface_of
from app.service.publish import maintained_document
from app.venues import VENUES
from tests.bench.mishaps import MARKETS, MISHAPS, Wire
from tests.bench.perturbations import BAD, BENIGN
from tests.quant.market import SERIES, maintained_series, recorded_chains
from tests.venues.bodies import native_surface_quotes, recorded

STALE_STEPS: Final = 12
"""Steps of five minutes that a stale previous surface is old at least."""
SLOW_S: Final = 2.0
"""Seconds of processor time; a cold fit of these chains takes a fiftieth. The first case of a process loads kernels."""
BARS: Final = 1.25
"""Half-widths that a surface may move for bad prices and call itself ok: bars hold 95 % of the next mids, not all."""
RULES: Final = GateRules()
BELIEVED: Final = dict.fromkeys(
    ("one_expiry_off", "stale_forwards", "frozen_expiry", "frozen_prices", "duplicated_expiry"),
    BARS * RULES.degraded_lone,
)
"""Half-widths up to which all mids of one expiry, agreeing with each other, are taken for a market of their own: the
rule's for their median, so BARS of it where the surface moves most."""
JUMPS: Final = frozenset({"jump", "crash_day"})
"""Harmless edits after which the market stands elsewhere."""
PROGRESS: Final = 1000
AUGUST: Final = "deribit_btc_chain_2026-08-01T175804Z.json.gz"
SINGLES: Final = ("surface_quotes_btc_2026-04-27.json.gz", "surface_quotes_eth_2026-01-31.json.gz")


@dataclass(frozen=True)
class Case:
    """A chain, what it is the successor of, and what was done to it; ``harmless`` has the benign edits alone.

    ``bars`` is how many half-widths a surface of ``chain`` may move for them and still be called ok. Of a market that
    ``jumped`` the fit to ``harmless`` is where the surface should stand, even where the gate keeps that one back.
    """

    name: str
    chain: OptionChain
    harmless: OptionChain | None
    bars: float
    previous: VolSurface | None
    state: MaintenanceState | None
    jumped: bool


@dataclass(frozen=True)
class Finding:
    """One thing that must not be: crash, non-finite, uncertified, silent, slow or warning."""

    kind: str
    detail: str


@cache
def single_chains() -> tuple[OptionChain, ...]:
    """The recorded chains that belong to no series."""
    listed = (VENUES["native"].parse(native_surface_quotes(name), received_ms=0) for name in SINGLES)
    return (VENUES["deribit"].parse(recorded(AUGUST), received_ms=0), *listed)


@cache
def single_fit(which: int) -> MaintainedFit:
    """The fit of one of them."""
    return maintain_surface(single_chains()[which])


def drawn(seed: int, number: int) -> Case:
    """Return case ``number`` of ``seed``: one to three edits of a recorded chain, and a previous surface or none."""
    rng = np.random.default_rng([seed, number])
    source = ("BTC", "ETH", "single")[rng.choice(3, p=[0.4, 0.4, 0.2])]
    before = ("none", "warm", "stale")[rng.choice(3, p=[0.2, 0.6, 0.2])]
    if source == "single":
        at = int(rng.integers(len(single_chains())))
        chain, known = single_chains()[at], None if before == "none" else single_fit(at)
    else:
        at = int(rng.integers(STALE_STEPS + 1, SERIES))
        chain, ago = recorded_chains(source)[at], {"none": 0, "warm": 1, "stale": int(rng.integers(2, at))}[before]
        known = maintained_series(source)[at - ago] if ago else None
    benign = [str(name) for name in rng.choice(list(BENIGN), rng.choice(3, p=[0.3, 0.4, 0.3]), replace=False)]
    bad = [str(name) for name in rng.choice(list(BAD), rng.choice(3, p=[0.5, 0.4, 0.1]), replace=False)]
    for name in benign:
        chain = BENIGN[name](chain, rng) if chain.expiries else chain
    harmless = chain
    for name in bad:
        chain = BAD[name](chain, rng) if chain.expiries else chain
    # Listed without puts and calls of a strike, premiums that are all off by a factor are a market like any other.
    blind = "premiums_off" in bad and sum(check.strikes for check in read_smiles(chain).parity) < LEAST_STRIKES
    return Case(
        f"{source} {at} {before}: {' + '.join([*benign, *bad]) or 'as it was'}",
        chain,
        harmless if bad else None,
        math.inf if blind else max([BELIEVED.get(name, BARS) for name in bad], default=BARS),
        known.fit.surface if known else None,
        known.state if known else None,
        not JUMPS.isdisjoint(benign),
    )


def drawn_mishap(seed: int, number: int) -> Case:
    """Return case ``number`` of ``seed``: a mishap or two on a recorded chain, one in three in a market that is odd."""
    rng = np.random.default_rng([seed, number, len(MISHAPS)])
    source = ("BTC", "ETH")[rng.integers(2)]
    before = ("none", "warm", "stale")[rng.choice(3, p=[0.1, 0.75, 0.15])]
    at = int(rng.integers(STALE_STEPS + 1, SERIES))
    ago = {"none": 0, "warm": 1, "stale": int(rng.integers(2, at))}[before]
    chain, known = recorded_chains(source)[at], maintained_series(source)[at - ago] if ago else None
    wire = Wire(recorded_chains(source)[at - STALE_STEPS], recorded_chains({"BTC": "ETH", "ETH": "BTC"}[source])[at])
    odd = [str(name) for name in rng.choice([*MARKETS, *BENIGN], int(rng.random() < 1 / 3), replace=False)]
    bad = [str(name) for name in rng.choice(list(MISHAPS), rng.choice([1, 2], p=[0.75, 0.25]), replace=False)]
    for name in odd:
        chain = {**MARKETS, **BENIGN}[name](chain, rng)
    harmless = chain
    for name in bad:
        chain = MISHAPS[name](chain, rng, wire) if chain.expiries else chain
    return Case(
        f"{source} {at} {before}: {' + '.join([*odd, *bad])}",
        chain,
        harmless,
        max([BELIEVED.get(name, BARS) for name in bad]),
        known.fit.surface if known else None,
        known.state if known else None,
        not JUMPS.isdisjoint(odd),
    )


def examined(case: Case) -> Iterator[Finding | str]:
    """Run ``case``; yield what must not be, and the status it ended with."""
    started = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            maintained = maintain_surface(case.chain, previous=case.previous, state=case.state)
        except NoSmile:
            yield "no smile"
            return
        # Any error at all is what this looks for.
        except Exception as error:  # noqa: BLE001
            yield Finding("crash", f"{type(error).__name__}: {error}")
            return
    yield maintained.fit.status.value
    seconds = time.process_time() - started
    if seconds > SLOW_S:
        yield Finding("slow", f"{seconds:.1f} s of processor time")
    yield from (Finding("warning", f"{w.category.__name__}: {w.message}") for w in caught)
    if maintained.fit.status is not SurfaceStatus.REJECTED:
        yield from _published(case, maintained)
        if maintained.fit.status is SurfaceStatus.OK:
            yield from _silent(case, maintained.fit.surface)


def _published(case: Case, maintained: MaintainedFit) -> Iterator[Finding]:
    document = maintained_document(maintained, case.chain)
    for place, number in _numbers(msgspec.structs.asdict(document)):
        if not math.isfinite(number):
            yield Finding("non-finite", f"{place} = {number}")
    stored = surface_of(decode_document(encode_document(document)))
    for certificate in (maintained.fit.certificate, certify(stored.states)):
        if not certificate.arbitrage_free:
            yield Finding("uncertified", certificate.failures[0])


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Yield every float in a tree of structs, mappings and lists, with its place."""
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, msgspec.Struct):
        yield from _numbers(msgspec.structs.asdict(value), place)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{place}[{i}]")


def _silent(case: Case, after: VolSurface) -> Iterator[Finding]:
    """A bad chain's surface that calls itself ok, away by more than the bars from where it stood and should stand."""
    if case.harmless is None or case.previous is None:
        return
    if after.as_of_ms - case.previous.as_of_ms > 1000 * RULES.comparable_s:
        return
    try:
        true = maintain_surface(case.harmless, previous=case.previous, state=case.state).fit
    except NoSmile:
        return
    moves = _moves(case.previous, after, case.chain)
    if case.jumped or true.status is not SurfaceStatus.REJECTED:
        moves = np.minimum(moves, _moves(case.previous, after, case.chain, true.surface))
    if moves.size and moves.max() > case.bars:
        yield Finding("silent", f"moved by {moves.max():.2f} half-widths")


def _moves(
    before: VolSurface, after: VolSurface, chain: OptionChain, origin: VolSurface | None = None
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return moves of vol at the chain's quotes, from ``origin`` or ``before``, in half-widths of the wider bars."""
    found = innovations_of(read_smiles(chain).smiles, before)
    stood = {s.expiry_ms: s for s in (origin or before).slices}
    new = {s.expiry_ms: s for s in after.slices}
    sizes = [np.empty(0)]
    for i, expiry_ms in enumerate(found.expiries):
        if expiry_ms not in new:
            continue
        if expiry_ms not in stood:
            stood[expiry_ms] = next(s for s in before.slices if s.expiry_ms == expiry_ms)
        rows = (found.slice == i) & (np.abs(found.deviations) <= RULES.judged_deviations)
        vols = [np.sqrt(s[expiry_ms].curve.total_variance(found.k[rows]) / s[expiry_ms].t) for s in (new, stood)]
        bars = widening_since(before, chain.as_of_ms) * found.half_width[rows]
        band = new[expiry_ms].band
        sizes.append(np.abs(vols[0] - vols[1]) / (np.fmax(bars, band.half_width_at(found.k[rows])) if band else bars))
    return np.nan_to_num(np.concatenate(sizes), nan=0.0)


def campaign(seed: int, first: int, count: int, draw: Callable[[int, int], Case] = drawn) -> Counter[str]:
    """Run the cases and print what must not be; return how many there were of each kind and status."""
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    for number in range(first, first + count):
        case = draw(seed, number)
        for found in examined(case):
            if isinstance(found, str):
                counts[found] += 1
                continue
            counts[found.kind] += 1
            asked = f"{'--mishaps ' if draw is drawn_mishap else ''}--seed {seed} --case {number}"
            print(f"{asked}: {found.kind}: {case.name}: {found.detail}", flush=True)
        if (number - first + 1) % PROGRESS == 0:
            print(f"{number - first + 1} cases, {time.perf_counter() - started:.0f} s: {dict(counts)}", flush=True)
    return counts


def told(case: Case) -> Iterator[str]:
    """Yield what was done, and the gate's verdict on the chain and on the one without the bad edits."""
    yield case.name
    for name, chain in (("as it came", case.chain), ("without the bad edits", case.harmless)):
        if chain is None:
            continue
        try:
            found = maintain_surface(chain, previous=case.previous, state=case.state)
        except NoSmile as error:
            yield f"{name}: no smile: {error}"
            continue
        dropped = ", ".join(f"{count} {reason}" for reason, count in found.fit.report.quotes_dropped.items())
        used = found.fit.report.quotes_used
        yield f"{name}: {found.fit.status}, regime {found.regime}; {used} quotes used, {dropped}"
        yield from (f"  {reason}" for reason in (found.fit.reason, found.regime_reason) if reason)
    yield from (f"{found.kind}: {found.detail}" for found in examined(case) if isinstance(found, Finding))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--case", type=int, help="tell of this one alone")
    parser.add_argument("--mishaps", action="store_true", help="what happens to whole expiries (mishaps.py)")
    given = parser.parse_args(arguments)
    draw = drawn_mishap if given.mishaps else drawn
    if given.case is not None:
        print(*told(draw(given.seed, given.case)), sep="\n")
        return
    print(dict(campaign(given.seed, given.first, given.count, draw)))


if __name__ == "__main__":
    main()
