"""The models by name. A model is a file in this folder and a line here."""

from collections.abc import Mapping
from typing import Final

from app.quant.models.base import SurfaceModel
from app.quant.models.essvi import Essvi
from app.quant.models.sabr import Sabr
from app.quant.models.svi import Svi
from app.quant.models.svi_spline import SviSpline

MODELS: Final[Mapping[str, SurfaceModel]] = {
    "svi": Svi(),
    "svi_spline": SviSpline(),
    "essvi": Essvi(),
    "sabr": Sabr(),
}
DEFAULT_MODEL: Final = "svi_spline"
