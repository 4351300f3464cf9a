"""Settings -> which models are fitted and what a fit depends on besides its chain and the surface before it."""

from typing import Final

from app.code_version import code_version
from app.quant.models import DEFAULT_MODEL, MODELS
from app.service.challenge import ChallengePolicy
from app.service.recalibrate import CalibrationPolicy
from app.settings import InvalidSettings, Settings

EVERY_OTHER: Final = ""
"""What an assignment of models names that is for all underlyings without one of their own."""


def calibration_policy(settings: Settings) -> CalibrationPolicy:
    """Return the policy that ``settings`` ask for. Raises InvalidSettings for models that do not exist."""
    _check_models(settings)
    return CalibrationPolicy(
        model=settings.model or DEFAULT_MODEL,
        model_by_underlying=tuple((each.underlying, each.models[0]) for each in settings.models),
        rules=settings.gate,
        triggers=settings.triggers,
        code_version=code_version(),
    )


def challenge_policy(settings: Settings) -> ChallengePolicy:
    """Return which models challenge the published one. Raises InvalidSettings for models that do not exist."""
    _check_models(settings)
    challengers = {each.underlying: each.models for each in settings.challengers}
    return ChallengePolicy(
        challengers=challengers.pop(EVERY_OTHER, ()),
        challengers_by_underlying=tuple(challengers.items()),
        automatic=settings.promote == "auto",
    )


def _check_models(settings: Settings) -> None:
    named = {
        "SMILEKEEPER_MODEL": [settings.model or DEFAULT_MODEL],
        "SMILEKEEPER_MODELS": [model for each in settings.models for model in each.models],
        "SMILEKEEPER_CHALLENGERS": [model for each in settings.challengers for model in each.models],
    }
    rule = f"must be one of {', '.join(MODELS)}"
    problems = [
        f"{variable}={model}: {rule}" for variable, models in named.items() for model in models if model not in MODELS
    ]
    if problems:
        raise InvalidSettings(problems)
