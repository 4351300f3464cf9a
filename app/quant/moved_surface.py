"""The surface that stands, moved to a new chain without a fit: new forwards and rates, the same smiles over moneyness.

Each slice keeps its total variance as a function of log-moneyness (sticky moneyness). Absence of arbitrage is a matter
of those functions alone, so what was proven stays proven; it is proven again all the same, and error and inside share
are those on the new chain. Bars grow with the time since the fit: as those of a random walk, with its root.
"""

import math
from dataclasses import replace

from app.quant.arbitrage import certify
from app.quant.arrays import FloatArray
from app.quant.calibration import ReadChain, SurfaceFit, judge_certificate
from app.quant.chain import OptionChain
from app.quant.drift import drift_between
from app.quant.gate import STEP_MS
from app.quant.models.base import SurfaceModel
from app.quant.nodes import node_vols
from app.quant.report import report_fit
from app.quant.surface import SurfaceSlice, VolSurface
from app.quant.uncertainty import Factors, widened


def moved_fit(
    chain: OptionChain,
    read: ReadChain,
    *,
    model: SurfaceModel,
    previous: VolSurface,
    fitted_ms: int,
    factors: Factors,
    previous_nodes: FloatArray | None,
) -> SurfaceFit:
    """Return ``previous``, fitted at ``fitted_ms``, as the surface of ``chain``, whose expiries are the same.

    ``factors`` scale the error bars; ``previous_nodes`` are the ``node_vols`` of ``previous``, for who knows them.
    """
    growth = bar_growth(fitted_ms, chain.as_of_ms) / bar_growth(fitted_ms, previous.as_of_ms)
    slices = tuple(
        SurfaceSlice(
            smile.expiry_ms,
            smile.t,
            smile.forward,
            smile.forward_sd,
            smile.discount_factor,
            stood.curve,
            widened(stood.band, growth, factors, smile.t) if stood.band else None,
        )
        for stood, smile in zip(previous.slices, read.smiles, strict=True)
    )
    surface = replace(previous, as_of_ms=chain.as_of_ms, slices=slices, rate_curve=read.rate_curve)
    certificate = certify(surface.states)
    status, reason = judge_certificate(model, certificate)
    nodes = node_vols(surface)
    nodes_before = node_vols(previous) if previous_nodes is None else previous_nodes
    return SurfaceFit(
        surface,
        status,
        reason,
        certificate,
        report_fit(read.smiles, surface, read.excluded, chain.unplaced),
        drift_between(previous, nodes_before, surface, nodes),
        nodes,
        None,
    )


def bar_growth(fitted_ms: int, as_of_ms: int) -> float:
    """Return the factor on the sd of a vol fitted at ``fitted_ms``: sqrt(1 + five-minute steps since)."""
    return math.sqrt(1.0 + max(as_of_ms - fitted_ms, 0) / STEP_MS)
