"""What a surface was made from and by, as its document names it."""

import hashlib

import msgspec

from app.quant.gate_rules import GateRules
from app.quant.models.base import FitOptions
from app.quant.trigger_policy import TriggerPolicy


def chain_sha256(chain: bytes) -> str:
    """Return the SHA-256 of an encoded chain as the store keeps it."""
    return hashlib.sha256(chain).hexdigest()


def settings_sha256(model: str, options: FitOptions, rules: GateRules, trigger: TriggerPolicy) -> str:
    """Return the SHA-256 of the choices that influence a surface: the model asked for, its options, gate, trigger."""
    chosen = {"model": model, "options": options, "rules": rules, "trigger": trigger}
    return hashlib.sha256(msgspec.json.encode(chosen, order="sorted")).hexdigest()
