"""Smiles for the models' tests: recorded, synthetic, and spoilt."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.quant.models.base import SliceState
from app.quant.models.svi_curve import SviCurve
from app.quant.smile import Smile

DATA = Path(__file__).parents[2] / "data"
DAY_MS = 86_400_000


def smile(
    expiry_ms: int,
    t: float,
    k: np.ndarray,
    bid: np.ndarray,
    ask: np.ndarray,
    noise: np.ndarray | None = None,
    forward: float = 100.0,
) -> Smile:
    half = 0.5 * (ask - bid)
    return Smile(
        expiry_ms=expiry_ms,
        t=t,
        forward=forward,
        forward_sd=0.0,
        discount_factor=1.0,
        strike=forward * np.exp(k),
        is_call=k >= 0.0,
        k=k,
        bid_vol=bid,
        ask_vol=ask,
        mid_vol=0.5 * (bid + ask),
        noise=np.maximum(0.5 * half, 0.0015) if noise is None else noise,
        dropped={},
    )


def recorded(name: str) -> list[list[Smile]]:
    """Return the snapshots of tests/data/smiles_<name>.json, which names its source."""
    snapshots = json.loads((DATA / f"smiles_{name}.json").read_text())["snapshots"]
    return [
        [
            smile(
                s["expiry_ms"],
                s["t"],
                *(np.array(s[column]) for column in ("k", "bid_vol", "ask_vol", "noise")),
                forward=s["forward"],
            )
            for s in snapshot
        ]
        for snapshot in snapshots
    ]


def spx() -> list[Smile]:
    """Return two SPX smiles of mid vols with a band of 0.3 vol points either side."""
    smiles = json.loads((DATA / "smiles_spx_2025.json").read_text())["smiles"]
    made = []
    for s in smiles:
        vol = np.array(s["vol"])
        k = np.log(np.array(s["strike"]) / s["forward"])
        made.append(smile(1, s["t"], k, vol - 0.003, vol + 0.003, forward=s["forward"]))
    return made


def ssvi_slice(theta: float, rho: float, eta: float = 0.9) -> SviCurve:
    """Return an SSVI slice with phi = eta / sqrt(theta (1 + theta)) as raw SVI; eta (1 + |rho|) <= 2 is free."""
    phi = eta / np.sqrt(theta * (1.0 + theta))
    root = np.sqrt(1.0 - rho * rho)
    return SviCurve(0.5 * theta * root**2, 0.5 * theta * phi, rho, -rho / phi, root / phi)


def known_surface(vol: float = 0.6, rho: float = -0.25, days: Sequence[float] = (2, 9, 30, 90, 270)) -> list[SviCurve]:
    return [ssvi_slice(vol * vol * d / 365.0, rho) for d in days]


def quoted(
    curves: Sequence[SviCurve],
    days: Sequence[float] = (2, 9, 30, 90, 270),
    quotes: int = 25,
    half_spread: float = 0.004,
    noise: float = 0.0,
    seed: int = 0,
    reach: float = 3.0,
) -> list[Smile]:
    """Return smiles of ``curves`` over +-``reach`` standard deviations, mids moved by ``noise`` half-spreads."""
    rng = np.random.default_rng(seed)
    made = []
    for curve, d in zip(curves, days, strict=True):
        t = d / 365.0
        k = np.sqrt(curve.atm_svi_variance) * np.linspace(-reach, reach, quotes)
        vol = np.sqrt(curve.total_variance(k) / t) + noise * half_spread * rng.standard_normal(quotes)
        made.append(smile(int(d * DAY_MS), t, k, vol - half_spread, vol + half_spread))
    return made


def states(smiles: Sequence[Smile], curves: Sequence[SviCurve]) -> list[SliceState]:
    return [SliceState(s.expiry_ms, s.t, c) for s, c in zip(smiles, curves, strict=True)]


def spoilt(smiles: Sequence[Smile], rng: np.random.Generator) -> list[Smile]:
    """Return the smiles damaged: crossed expiries, a fat finger, five quotes, noise, tiny or equal t, or waves."""
    kind = rng.integers(7)
    made: list[Smile] = []
    for s in smiles:
        bid, ask, t = s.bid_vol.copy(), s.ask_vol.copy(), s.t
        keep = np.arange(len(s))
        if kind == 0:
            factor = np.exp(0.3 * rng.standard_normal())
            bid, ask = bid * factor, ask * factor
        elif kind == 1:
            j, factor = rng.integers(len(s)), rng.choice([0.2, 0.5, 2.0, 5.0])
            bid[j] *= factor
            ask[j] *= factor
        elif kind == 2:
            keep = np.sort(rng.choice(len(s), 5, replace=False))
        elif kind == 3:
            factors = np.exp(0.3 * rng.standard_normal(len(s)))
            bid, ask = bid * factors, ask * factors
        elif kind == 4:
            t = s.t / 1000.0
        elif kind == 5 and made:
            t = made[-1].t * (1.0 + rng.choice([0.0, 1e-9, 1e-4]))
        elif kind == 6:
            factors = 1.0 + 0.5 * np.sin(s.k / np.ptp(s.k) * rng.uniform(3.0, 25.0))
            bid, ask = bid * factors, ask * factors
        made.append(smile(s.expiry_ms, t, s.k[keep], bid[keep], ask[keep], forward=s.forward))
    return made
