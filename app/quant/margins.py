"""Margins of a surface against arbitrage: what a proof or a grid finds for each slice and each neighbouring pair."""

from dataclasses import dataclass

from app.quant.arrays import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Margins:
    """For each slice or pair: whether it is free of arbitrage, its least margin, and the k of that margin."""

    free: BoolArray
    least: FloatArray
    k: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceMargins:
    """Least g and wing slope of n slices, least w_later/w_earlier - 1 of their n - 1 pairs."""

    butterfly: Margins
    calendar: Margins
    wing: Margins
