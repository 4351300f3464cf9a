"""The id of a request: the caller's own if it is fit for a log, else one made here; in the answer and in every line."""

import re
import secrets
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from app.service.access_key import PREFIX

HEADER: Final = "X-Request-ID"
SCOPE_KEY: Final = "smilekeeper.request_id"
"""Where a request's id is found by whoever answers it."""
ID_BYTES: Final = 8
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,63}")
"""Printable, one line, short: a caller must not be able to write into a log what it likes."""


def give_request_id(scope: Scope) -> str:
    """Return the id of the request in ``scope``, which remembers it."""
    asked = Headers(scope=scope).get(HEADER, "")
    # What looks like a key may be one that a caller put into the wrong header: it must not reach a log.
    sane = _SANE.fullmatch(asked) and not asked.startswith(PREFIX)
    scope[SCOPE_KEY] = asked if sane else secrets.token_hex(ID_BYTES)
    return str(scope[SCOPE_KEY])
