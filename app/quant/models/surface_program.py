"""The nonlinear program of one stage of a surface fit: what moves, what it costs and how far constraints are missed."""

from typing import NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel
from app.quant.models.cutting_planes import Margins, find_minima
from app.quant.models.local_minima import Minima, empty_minima
from app.quant.models.scan_grid import ScanGrid
from app.quant.models.surface_objective import surface_objective
from app.quant.models.surface_problem import VALUE, SurfaceProblem


class SurfaceProgram(NamedTuple):
    """Minimise the misfit of the slices that move, under the constraints with their margins."""

    stage: int
    problem: SurfaceProblem
    size: IntArray
    """(n): moving parameters of each slice, 0 for a frozen one."""
    scan: ScanGrid
    margins: Margins


class Place(NamedTuple):
    """The numbers of a surface and the local minima of its constraints there."""

    svi: FloatArray
    """(n, 5)"""
    coefficients: FloatArray
    """(n, MAX_COEFFICIENTS)"""
    minima: Minima


@inner_kernel
def new_place(svi: FloatArray, coefficients: FloatArray) -> Place:
    """Return a place of its own at these numbers, not looked at yet."""
    return Place(svi.copy(), coefficients.copy(), empty_minima(svi.shape[0]))


@inner_kernel
def copy_rows(source: FloatArray, target: FloatArray) -> None:
    """Copy a two-dimensional array over another of its shape."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@inner_kernel
def copy_numbers(source: Place, target: Place) -> None:
    """Copy a place's numbers over another's, whose minima stay."""
    copy_rows(source.svi, target.svi)
    copy_rows(source.coefficients, target.coefficients)


@inner_kernel
def violation_at(program: SurfaceProgram, place: Place) -> float:
    """Find the constraints' minima at ``place``; return the sum of the violations."""
    return find_minima(
        program.stage,
        place.svi,
        place.coefficients,
        program.problem.knots,
        program.size,
        program.scan,
        program.margins,
        place.minima,
    )


@inner_kernel
def misfit_at(program: SurfaceProgram, place: Place) -> float:
    """Return the objective at ``place``, INFINITE outside the domain."""
    unused_h, unused_g = np.empty((program.size.shape[0], 1, 1)), np.empty((program.size.shape[0], 1))
    return surface_objective(
        program.stage, program.problem, program.size, place.svi, place.coefficients, VALUE, unused_h, unused_g
    )
