"""What a surface was made from and by, as its document names it."""

import hashlib

import msgspec

from app.quant.models.base import FitOptions


def chain_sha256(chain: bytes) -> str:
    """Return the SHA-256 of an encoded chain as the store keeps it."""
    return hashlib.sha256(chain).hexdigest()


def settings_sha256(model: str, options: FitOptions) -> str:
    """Return the SHA-256 of the choices that influence a fit: the model asked for and its options."""
    return hashlib.sha256(msgspec.json.encode({"model": model, "options": options}, order="sorted")).hexdigest()
