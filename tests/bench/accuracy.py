"""How tight, how honest and how steady the default surface is on recorded chains, with nothing but the calibration.

    python -m tests.bench.accuracy [FILE ...]

prints it for the three single chains and the two recorded hours that ship with the project, or for other recordings of
the venues' formats. Nothing here is a time.
"""

import argparse
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from app.feeds.recording import SHIPPED, read_recorded
from app.quant.arrays import FloatArray
from app.quant.calibration import SurfaceFit, SurfaceStatus, calibrate_surface, read_chain
from app.quant.chain import OptionChain
from app.quant.innovations import innovations_of
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.base import FitOptions
from app.quant.models.svi_slice import fit_slice
from app.quant.models.svi_start import SLICE_ITERATIONS, SLICE_TOLERANCE
from app.quant.models.temporal_prior import level_and_skew
from app.quant.smile import Smile
from app.quant.surface import VolSurface
from app.service.iso_time import iso_utc
from app.venues import VENUES
from tests.bench.figure import Figure, print_table
from tests.quant.market import recorded_chain

SINGLES: Final = (
    "deribit_btc_chain_2026-08-01T175804Z.json.gz",
    "surface_quotes_btc_2026-04-27.json.gz",
    "surface_quotes_eth_2026-01-31.json.gz",
)
PLAIN: Final = "svi"
"""The model that the default one is compared with."""
FOLD: Final = 5
HELD_OUT: Final = (1, 3)
"""Of every FOLD quotes, which are held out, in turn."""
DELTAS: Final = np.array([-0.1, -0.25, 0.5, 0.25, 0.1])
"""Forward deltas of the nodes whose vols are followed from chain to chain."""
MOVES: Final = (3.0, 5.0, 8.0)
"""Moves of an expiry's level that are more than noise, in its standard errors."""
TELLING_QUOTES: Final = 7
"""Quotes in common that tell the move of a level."""


def figures(recordings: Sequence[Path] = SHIPPED) -> Iterator[Figure]:
    """Yield every figure."""
    for name in SINGLES:
        chain = recorded_chain(name)
        label = f"{chain.underlying} {iso_utc(chain.as_of_ms)[:10]}"
        yield from _single(label, calibrate_surface(chain))
        yield from _held_out(label, [read_chain(chain, DEFAULT_MODEL).smiles])
    for path in recordings:
        chains = [VENUES[each.venue].parse(each.body, received_ms=0) for each in read_recorded(path)]
        label = f"{chains[0].underlying}, {len(chains)} chains"
        smiles = [read_chain(chain, DEFAULT_MODEL).smiles for chain in chains]
        yield from _series(label, chains, smiles)
        yield from _held_out(label, smiles)


def _single(label: str, fit: SurfaceFit) -> Iterator[Figure]:
    yield Figure(f"{label}: rmse", 100.0 * fit.report.rmse_vol, "vol points")
    yield Figure(f"{label}: inside bid-ask", 100.0 * fit.report.inside_spread, "%")
    yield Figure(f"{label}: certified", float(fit.certificate.arbitrage_free), "of 1")


def _series(label: str, chains: Sequence[OptionChain], smiles: Sequence[tuple[Smile, ...]]) -> Iterator[Figure]:
    """Each chain as the successor of the surface that stands, as the service does it."""
    verdicts: Counter[SurfaceStatus] = Counter()
    fits, covered, standing = [], [], None
    for chain, read in zip(chains, smiles, strict=True):
        if standing:
            seen = innovations_of(read, standing.fit.surface)
            barred = np.isfinite(seen.half_width)
            covered.append(np.abs(seen.error[barred]) <= seen.half_width[barred])
        made = maintain_surface(
            chain,
            previous=standing.fit.surface if standing else None,
            state=fits[-1].state if fits else None,
            previous_nodes=standing.fit.nodes if standing else None,
        )
        fits.append(made)
        verdicts[made.fit.status] += 1
        if made.fit.status is not SurfaceStatus.REJECTED:
            standing = made
    inside = [100.0 * each.fit.report.inside_spread for each in fits]
    yield Figure(f"{label}: inside bid-ask, median", statistics.median(inside), "%")
    yield Figure(f"{label}: inside bid-ask, 5th percentile", float(np.percentile(inside, 5)), "%")
    yield Figure(f"{label}: certified", sum(each.fit.certificate.arbitrage_free for each in fits), f"of {len(fits)}")
    for status in SurfaceStatus:
        yield Figure(f"{label}: {status}", verdicts[status], f"of {len(fits)}")
    errors = [_rmse(each.fit.surface, read) for each, read in zip(fits, smiles, strict=True)]
    free = [_unconstrained_rmse(read) for read in smiles]
    yield Figure(f"{label}: rmse, median", 100.0 * statistics.median(errors), "vol points")
    yield Figure(f"{label}: rmse of unconstrained SVI slices, median", 100.0 * statistics.median(free), "vol points")
    hits = np.concatenate(covered)
    yield Figure(f"{label}: next mids inside the 95 % bars, of {hits.size:,}", 100.0 * float(hits.mean()), "%")
    yield Figure(f"{label}: calm jitter over that of the mids", _jitter(fits, smiles), "x")
    yield from _followed(label, fits, smiles)


def _rmse(surface: VolSurface, smiles: Sequence[Smile]) -> float:
    curves = {s.expiry_ms: s.curve for s in surface.slices}
    known = [smile for smile in smiles if smile.expiry_ms in curves]
    vols = [np.sqrt(curves[smile.expiry_ms].total_variance(smile.k) / smile.t) for smile in known]
    return _rms(np.concatenate([vol - smile.mid_vol for vol, smile in zip(vols, known, strict=True)]))


def _unconstrained_rmse(smiles: Sequence[Smile]) -> float:
    """Each expiry alone, arbitrage or not, by least squares in vol."""
    raw, errors = np.empty(5), []
    for smile in smiles:
        w = smile.mid_vol**2 * smile.t
        fit_slice(smile.k, w, 1.0 / w, SLICE_ITERATIONS, SLICE_TOLERANCE, raw)
        a, b, rho, m, sigma = raw
        fitted = a + b * (rho * (smile.k - m) + np.hypot(smile.k - m, sigma))
        errors.append(np.sqrt(fitted / smile.t) - smile.mid_vol)
    return _rms(np.concatenate(errors))


def _jitter(fits: Sequence[MaintainedFit], smiles: Sequence[tuple[Smile, ...]]) -> float:
    """Return the RMS change of the surface's vols at delta nodes over that of the mids', in the calm half of the steps.

    A node is where the earlier surface has the delta, in every expiry that both chains quote on either side of it; the
    mids there are linear between quotes. Calm steps are those whose mids moved by no more than the median step's.
    """
    market, model = [], []
    for (before, after), (quoted, requoted) in zip(pairwise(fits), pairwise(smiles), strict=True):
        surfaces = before.fit.surface, after.fit.surface
        moves = [_node_moves(surfaces, pair) for pair in _shared(quoted, requoted)]
        market.append(np.concatenate([mids for mids, _ in moves]))
        model.append(np.concatenate([vols for _, vols in moves]))
    size = np.array([np.sqrt(np.mean(step**2)) for step in market])
    calm = np.flatnonzero(size <= np.median(size))
    squares = [np.mean(np.concatenate([steps[i] for i in calm]) ** 2) for steps in (model, market)]
    return float(np.sqrt(squares[0] / squares[1]))


def _shared(quoted: Sequence[Smile], requoted: Sequence[Smile]) -> Iterator[tuple[Smile, Smile]]:
    later = {smile.expiry_ms: smile for smile in requoted}
    yield from ((smile, later[smile.expiry_ms]) for smile in quoted if smile.expiry_ms in later)


def _node_moves(surfaces: tuple[VolSurface, VolSurface], smiles: tuple[Smile, Smile]) -> tuple[FloatArray, FloatArray]:
    """Return the changes of mid and of vol at the nodes of one expiry; none where a surface lacks it."""
    slices = [{s.expiry_ms: s for s in surface.slices}.get(smiles[0].expiry_ms) for surface in surfaces]
    if slices[0] is None or slices[1] is None:
        return np.empty(0), np.empty(0)
    strikes = surfaces[0].strikes_at_delta(DELTAS, slices[0].t, (DELTAS > 0.0).tolist())
    k = np.log(strikes[np.isfinite(strikes)] / slices[0].forward)
    k = k[(k >= max(s.k[0] for s in smiles)) & (k <= min(s.k[-1] for s in smiles))]
    mids = [np.interp(k, smile.k, smile.mid_vol) for smile in smiles]
    vols = [np.sqrt(each.curve.total_variance(k) / each.t) for each in slices if each]
    return mids[1] - mids[0], vols[1] - vols[0]


def _held_out(label: str, chains: Sequence[Sequence[Smile]]) -> Iterator[Figure]:
    """Every fifth interior quote is held out of a cold fit; errors there, against those of the plain model."""
    errors: dict[str, list[FloatArray]] = {PLAIN: [], DEFAULT_MODEL: []}
    inside, half_spreads = [], []
    for smiles in chains:
        for fold in HELD_OUT:
            places = [np.arange(len(smile)) for smile in smiles]
            out = [(at % FOLD == fold) & (at > 0) & (at < at.size - 1) for at in places]
            enough = [(~gone).sum() >= MODELS[DEFAULT_MODEL].min_quotes for gone in out]
            pairs = [(smile, gone) for smile, gone, fits in zip(smiles, out, enough, strict=True) if fits]
            left = [_without(smile, gone) for smile, gone in pairs]
            for model, found in errors.items():
                curves = MODELS[model].fit(left, (), FitOptions()).curves
                for curve, (smile, gone) in zip(curves, pairs, strict=True):
                    vol = np.sqrt(curve.total_variance(smile.k[gone]) / smile.t)
                    found.append(vol - smile.mid_vol[gone])
                    if model == DEFAULT_MODEL:
                        inside.append((vol >= smile.bid_vol[gone]) & (vol <= smile.ask_vol[gone]))
                        half_spreads.append(0.5 * (smile.ask_vol[gone] - smile.bid_vol[gone]))
    plain, own = (np.abs(np.concatenate(errors[model])) for model in (PLAIN, DEFAULT_MODEL))
    width = np.concatenate(half_spreads)
    held = f"{label}, {own.size:,} quotes held out"
    yield Figure(f"{held}: inside bid-ask", 100.0 * float(np.concatenate(inside).mean()), "%")
    yield Figure(f"{held}: mean absolute error against {PLAIN}", _change(own.mean(), plain.mean()), "%")
    yield Figure(f"{held}: RMS error", _change(_rms(own), _rms(plain)), "%")
    yield Figure(f"{held}: RMS error in half-spreads", _change(_rms(own / width), _rms(plain / width)), "%")


def _without(smile: Smile, gone: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Smile:
    names = ("strike", "is_call", "k", "bid_vol", "ask_vol", "mid_vol", "noise")
    return replace(smile, **{name: getattr(smile, name)[~gone] for name in names})


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _change(own: float, other: float) -> float:
    return 100.0 * (own / other - 1.0)


def _followed(label: str, fits: Sequence[MaintainedFit], smiles: Sequence[tuple[Smile, ...]]) -> Iterator[Figure]:
    """By how much the level of an expiry's vols moved for that of its mids, the next surface's over all such moves.

    Levels are those of a robust line through the changes at the later chain's quotes; which moves count is told by
    their own standard error.
    """
    moves = []
    for (before, after), (quoted, requoted) in zip(pairwise(fits), pairwise(smiles), strict=True):
        old, new = ({s.expiry_ms: s for s in each.fit.surface.slices} for each in (before, after))
        for earlier, later in _shared(quoted, requoted):
            here = (later.k >= earlier.k[0]) & (later.k <= earlier.k[-1])
            if here.sum() < TELLING_QUOTES or earlier.expiry_ms not in old or earlier.expiry_ms not in new:
                continue
            k, noise = later.k[here], later.noise[here]
            vols = [np.sqrt(s[earlier.expiry_ms].curve.total_variance(k) / s[earlier.expiry_ms].t) for s in (old, new)]
            mids = later.mid_vol[here] - np.interp(k, earlier.k, earlier.mid_vol)
            market, model = np.empty(5), np.empty(5)
            level_and_skew(k, mids, noise, market)
            level_and_skew(k, vols[1] - vols[0], noise, model)
            moves.append((market[1], market[3], model[1]))
    market_level, error, model_level = np.array(moves).T
    for least in MOVES:
        told = np.abs(market_level) > least * error
        share = float(market_level[told] @ model_level[told] / (market_level[told] @ market_level[told]))
        yield Figure(f"{label}: followed of {told.sum()} moves beyond {least:g} standard errors", 100.0 * share, "%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path, nargs="*", default=SHIPPED, help="default: those that ship")
    print_table(figures(parser.parse_args().recordings))


if __name__ == "__main__":
    main()
