"""How a damaged payload is set aside: the call, for whichever link makes it."""

import logging
from typing import Final, NamedTuple

from app.store.keys import QUARANTINED_KEPT, Keys
from app.store.lua import QUARANTINE, Script
from app.store.records import Entry

log = logging.getLogger(__name__)

SURFACE: Final = "surface"
CHAIN: Final = "chain"
KEPT_CHAIN: Final = "kept_chain"
FACTORS: Final = "factors"
QUARANTINED: Final = (SURFACE, CHAIN, KEPT_CHAIN, FACTORS)
"""Every kind of payload that may be found damaged."""


class ScriptCall(NamedTuple):
    """A script with its keys and arguments."""

    script: Script
    keys: list[str]
    arguments: list[str | bytes]


def surface_quarantined(keys: Keys, underlying: str, entry: Entry, reason: str) -> ScriptCall:
    """Return the call that takes a damaged surface out of its history."""
    name, fields = entry
    payload = fields.get(b"document", b"")
    return _quarantined(keys, keys.history(underlying), SURFACE, underlying, name, reason, payload)


def kept_chain_quarantined(keys: Keys, underlying: str, entry: Entry, reason: str) -> ScriptCall:
    """Return the call that takes a damaged chain out of those kept beside their surfaces."""
    name, fields = entry
    return _quarantined(keys, keys.chains(underlying), KEPT_CHAIN, underlying, name, reason, fields.get(b"chain", b""))


def factors_quarantined(keys: Keys, underlying: str, entry: Entry, reason: str) -> ScriptCall:
    """Return the call that takes a damaged row out of the record of factors."""
    name, fields = entry
    return _quarantined(keys, keys.factors(underlying), FACTORS, underlying, name, reason, fields.get(b"row", b""))


def chain_quarantined(keys: Keys, underlying: str, token: str, reason: str, chain: bytes) -> ScriptCall:
    """Return the call that keeps a damaged chain; the caller has settled its claim."""
    return _quarantined(keys, keys.history(underlying), CHAIN, underlying, token.encode(), reason, chain)


def _quarantined(
    keys: Keys, stream: str, kind: str, underlying: str, entry: bytes, reason: str, payload: bytes
) -> ScriptCall:
    log.error("payload_quarantined", extra={"kind": kind, "underlying": underlying, "reason": reason})
    shard = keys.shard_of(underlying)
    return ScriptCall(
        QUARANTINE,
        [stream, keys.quarantine(shard), keys.counters(shard)],
        [kind, underlying, entry, reason, payload, str(QUARANTINED_KEPT)],
    )
