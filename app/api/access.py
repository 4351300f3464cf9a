"""Who may do what. Callers on this machine and on trusted networks may do everything; others need a key."""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

from starlette.requests import HTTPConnection

from app.api.problem import NotAllowed, NotAuthenticated


class Scope(StrEnum):
    """What a caller may do."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ScopesOf = Callable[[HTTPConnection], frozenset[Scope]]


def scopes_by_address(trusted: Sequence[Network] = ()) -> ScopesOf:
    """Return a function that gives every scope to callers on a loopback or ``trusted`` address, none to others."""

    def scopes_of(connection: HTTPConnection) -> frozenset[Scope]:
        known = connection.client is not None and _is_trusted(connection.client.host, trusted)
        return frozenset(Scope) if known else frozenset()

    return scopes_of


def check_scope(scopes: frozenset[Scope], needed: Scope) -> None:
    """Raise NotAuthenticated for a caller without any scope, NotAllowed for one without ``needed``."""
    if not scopes:
        raise NotAuthenticated("callers from other machines need a key")
    if needed not in scopes:
        raise NotAllowed(f"this needs the scope {needed}; the caller has {', '.join(sorted(scopes))}")


def requires(needed: Scope, scopes_of: ScopesOf) -> Callable[[HTTPConnection], Awaitable[None]]:
    """Return a dependency that refuses requests of callers without ``needed``."""

    async def check(connection: HTTPConnection) -> None:
        check_scope(scopes_of(connection), needed)

    return check


def _is_trusted(host: str, trusted: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket or a test client: no address
        return False
    return address.is_loopback or any(address in network for network in trusted)
