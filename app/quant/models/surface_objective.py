"""The objective of a surface fit, its gradient and its Gauss-Newton blocks, slice by slice."""

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel
from app.quant.models.residual_objective import residual_objective
from app.quant.models.surface_problem import INFINITE, SVI_STAGE, SurfaceProblem
from app.quant.models.svi_objective import svi_objective


@inner_kernel
def surface_objective(
    stage: int,
    problem: SurfaceProblem,
    size: IntArray,
    svi: FloatArray,
    coefficients: FloatArray,
    derivatives: bool,
    H: FloatArray,
    g: FloatArray,
) -> float:
    """Return the objective over the slices that move (size > 0), INFINITE outside the domain."""
    value = 0.0
    for i in range(size.shape[0]):
        if size[i] == 0:
            continue
        if stage == SVI_STAGE:
            value += svi_objective(problem, i, svi[i], derivatives, H[i], g[i])
        else:
            value += residual_objective(problem, i, svi[i], coefficients[i], derivatives, H[i], g[i])
        if value >= INFINITE:
            return INFINITE
    return value
