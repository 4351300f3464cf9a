"""The calibration engine on one core: how fast and, on one chain, how tight beside other libraries."""

import gzip
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from app.quant.arbitrage import certify
from app.quant.arrays import FloatArray
from app.quant.black import black_price
from app.quant.calibration import calibrate_surface
from app.quant.chain import OptionChain
from app.quant.implied_vol import implied_vol
from app.quant.models import MODELS
from app.quant.models.base import FitOptions, SliceState
from app.quant.models.svi_slice import fit_slice
from app.quant.models.svi_start import SLICE_ITERATIONS, SLICE_TOLERANCE
from app.quant.smile import Smile, read_smiles
from app.venues import VENUES
from tests.bench.figure import Figure
from tests.bench.yardsticks import (
    Quotes,
    fast_vollib_implied_vols,
    pysabr_fit,
    quantlib_implied_vols,
    quantlib_svi_vols,
    scipy_svi_vols,
)

DATA = Path(__file__).parents[1] / "data"
RECORDED = Path(__file__).parents[2] / "app" / "feeds" / "recorded"
REPEATS = 9
"""Runs of each timing; the median is given."""


def figures() -> Iterator[Figure]:
    """Yield every figure of the engine."""
    chain = august_chain()
    smiles = list(read_smiles(chain).smiles)
    yield from _fit_quality(chain, smiles)
    yield from _times(chain, smiles)
    for path in sorted(RECORDED.glob("*.jsonl.gz")):
        yield from _recorded_series(path)


def august_chain() -> OptionChain:
    """Return the BTC chain of 2026-08-01, 868 options."""
    body = gzip.decompress((DATA / "deribit_btc_chain_2026-08-01T175804Z.json.gz").read_bytes())
    return VENUES["deribit"].parse(body, received_ms=0)


def _fit_quality(chain: OptionChain, smiles: list[Smile]) -> Iterator[Figure]:
    mid = np.concatenate([s.mid_vol for s in smiles])
    low, high = (np.concatenate([getattr(s, side) for s in smiles]) for side in ("bid_vol", "ask_vol"))

    def quality(vols: list[FloatArray]) -> tuple[float, float]:
        model = np.concatenate(vols)
        return float(100 * np.sqrt(np.mean((model - mid) ** 2))), float(100 * np.mean((model >= low) & (model <= high)))

    theirs = quality(quantlib_svi_vols(smiles))
    for name in ("svi_spline", "svi", "essvi"):
        fit = calibrate_surface(chain, model=name)
        ours = quality(
            [np.sqrt(s.curve.total_variance(q.k) / q.t) for s, q in zip(fit.surface.slices, smiles, strict=True)]
        )
        yield Figure(
            f"{name}: rmse, BTC 2026-08-01 (beside QuantLib's unconstrained SVI)", ours[0], "vol points", theirs[0]
        )
        yield Figure(f"{name}: quotes inside bid-ask", ours[1], "%", theirs[1])
        yield Figure(f"{name}: certified free of arbitrage", float(fit.certificate.arbitrage_free), "1 = yes")


def _times(chain: OptionChain, smiles: list[Smile]) -> Iterator[Figure]:
    quotes = _thousand_quotes(smiles)
    ours = _seconds(lambda: implied_vol(*quotes)) / 1000
    yield Figure(
        "implied vol, batch of 1,000 (beside QuantLib)",
        1e6 * ours,
        "us",
        1e3 * _seconds(lambda: quantlib_implied_vols(quotes)),
    )
    yield Figure(
        "implied vol, batch of 1,000 (beside fast-vollib)",
        1e6 * ours,
        "us",
        1e3 * _seconds(lambda: fast_vollib_implied_vols(quotes)),
    )
    yield Figure("quotes to smiles, 868 options", 1e3 * _seconds(lambda: read_smiles(chain)), "ms")
    scipy_ms = 1e3 * _seconds(lambda: scipy_svi_vols(smiles), repeats=3)
    quantlib_ms = 1e3 * _seconds(lambda: quantlib_svi_vols(smiles), repeats=3)
    for name in ("svi", "svi_spline"):
        model = MODELS[name]
        cold = model.fit(smiles, (), FitOptions())
        states = _states(smiles, cold.curves)
        yield Figure(
            f"{name} cold, {len(smiles)} expiries (beside scipy's unconstrained SVI)",
            1e3 * _seconds(lambda m=model: m.fit(smiles, (), FitOptions())),
            "ms",
            scipy_ms,
        )
        yield Figure(
            f"{name} warm (beside QuantLib's unconstrained SVI)",
            1e3 * _seconds(lambda m=model, s=states: m.fit(smiles, s, FitOptions())),
            "ms",
            quantlib_ms,
        )
        yield Figure(f"{name}: certificate", 1e3 * _seconds(lambda s=states: certify(s)), "ms")
    raw = np.empty(5)
    slices = [(s.k, s.mid_vol**2 * s.t, 1.0 / (s.mid_vol**2 * s.t)) for s in smiles]
    yield Figure(
        "SVI slice, unconstrained, to 1e-6 of its objective (beside scipy)",
        1e6 * _seconds(lambda: [fit_slice(*s, SLICE_ITERATIONS, SLICE_TOLERANCE, raw) for s in slices]) / len(smiles),
        "us",
        1e3 * scipy_ms / len(smiles),
    )
    smile = max(smiles, key=len)
    yield Figure(
        "SABR, a slice of the surface fit (beside pysabr)",
        1e3 * _seconds(lambda: MODELS["sabr"].fit(smiles, (), FitOptions())) / len(smiles),
        "ms",
        1e3 * _seconds(lambda: pysabr_fit(smile), repeats=3),
    )
    previous = calibrate_surface(chain).surface
    yield Figure(
        "whole path warm: chain to certified surface and report",
        1e3 * _seconds(lambda: calibrate_surface(chain, previous=previous)),
        "ms",
    )


def _recorded_series(path: Path) -> Iterator[Figure]:
    with gzip.open(path) as lines:
        chains = [VENUES["deribit"].parse(line, received_ms=0) for line in lines]
    seconds, previous = [], None
    for chain in chains:
        started = time.perf_counter()
        previous = calibrate_surface(chain, previous=previous).surface
        seconds.append(time.perf_counter() - started)
    name = f"{chains[0].underlying}, {len(chains)} snapshots 5 minutes apart"
    yield Figure(f"{name}: whole path warm, median", 1e3 * statistics.median(seconds[1:]), "ms")
    yield Figure(f"{name}: whole path warm, 95th percentile", 1e3 * float(np.percentile(seconds[1:], 95)), "ms")


def _thousand_quotes(smiles: list[Smile]) -> Quotes:
    rows = [
        (s.mid_vol, np.full(len(s), s.forward), s.forward * np.exp(s.k), np.full(len(s), s.t), s.k > 0) for s in smiles
    ]
    vol, forward, strike, t, is_call = (np.resize(np.concatenate(column), 1000) for column in zip(*rows, strict=True))
    return black_price(forward, strike, vol, t, is_call), forward, strike, t, is_call


def _states(smiles: list[Smile], curves: tuple[object, ...]) -> tuple[SliceState, ...]:
    return tuple(SliceState(s.expiry_ms, s.t, c) for s, c in zip(smiles, curves, strict=True))  # type: ignore[arg-type]


def _seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
