"""Who may do what. Callers on this machine may do everything; whoever else comes needs a key."""

import ipaddress
from collections.abc import Awaitable, Callable
from enum import StrEnum

from starlette.requests import HTTPConnection

from app.api.problem import NotAllowed, NotAuthenticated


class Scope(StrEnum):
    """What a caller may do."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


def loopback_scopes(connection: HTTPConnection) -> frozenset[Scope]:
    """Return every scope for a caller on a loopback address, none for others."""
    return frozenset(Scope) if connection.client and _is_loopback(connection.client.host) else frozenset()


def check_scope(scopes: frozenset[Scope], needed: Scope) -> None:
    """Raise NotAuthenticated for a caller without any scope, NotAllowed for one without ``needed``."""
    if not scopes:
        raise NotAuthenticated("callers from other machines need a key")
    if needed not in scopes:
        raise NotAllowed(f"this needs the scope {needed}; the caller has {', '.join(sorted(scopes))}")


def requires(
    needed: Scope, scopes_of: Callable[[HTTPConnection], frozenset[Scope]]
) -> Callable[[HTTPConnection], Awaitable[None]]:
    """Return a dependency that refuses requests of callers without ``needed``."""

    async def check(connection: HTTPConnection) -> None:
        check_scope(scopes_of(connection), needed)

    return check


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a Unix socket or a test client: no address
        return False
