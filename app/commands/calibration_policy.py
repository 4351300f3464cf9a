"""Settings -> what a fit depends on besides its chain and the surface before it."""

from app.code_version import code_version
from app.quant.models import DEFAULT_MODEL, MODELS
from app.service.recalibrate import CalibrationPolicy
from app.settings import InvalidSettings, Settings


def calibration_policy(settings: Settings) -> CalibrationPolicy:
    """Return the policy that ``settings`` ask for. Raises InvalidSettings for a model that does not exist."""
    model = settings.model or DEFAULT_MODEL
    if model not in MODELS:
        raise InvalidSettings([f"SMILEKEEPER_MODEL={model}: must be one of {', '.join(MODELS)}"])
    return CalibrationPolicy(model=model, rules=settings.gate, triggers=settings.triggers, code_version=code_version())
