"""Who may do what. Whoever shows a key is who the key says; without one, only callers on this machine and on trusted
networks are let in, and they may do everything.

A key comes in a header or in a WebSocket's first message, never in a URL: proxies and browsers write those down.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from starlette.requests import HTTPConnection

from app.api.known_keys import KnownKeys
from app.api.problem import NotAllowed, NotAuthenticated
from app.api.rate_limit import RateLimit
from app.service.access_key import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

KEY_HEADER: Final = "x-api-key"
BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks: ``name`` is the key's id or the address; ``underlyings`` None means all of them."""

    name: str
    scopes: frozenset[Scope]
    underlyings: frozenset[str] | None = None
    has_key: bool = False

    def check(self, needed: Scope) -> None:
        """Raise NotAuthenticated for a caller without any scope, NotAllowed for one without ``needed``."""
        if not self.scopes:
            raise NotAuthenticated("callers from other machines need a key: X-API-Key, or Authorization: Bearer")
        if needed not in self.scopes:
            raise NotAllowed(f"this needs the scope {needed}; the caller has {', '.join(sorted(self.scopes))}")

    def sees(self, underlying: str) -> bool:
        """Return True where the caller may have to do with ``underlying``."""
        return self.underlyings is None or underlying in self.underlyings

    def check_underlying(self, underlying: str) -> None:
        """Raise NotAllowed for an underlying that is not on the caller's list."""
        if not self.sees(underlying):
            allowed = ", ".join(sorted(self.underlyings or ()))
            raise NotAllowed(f"this key is for {allowed}: not for {underlying!r}")


class Gate:
    """Tells who a connection is: by its key, if it shows one, else by its address."""

    def __init__(
        self, trusted: Sequence[Network] = (), keys: KnownKeys | None = None, rate_limit: RateLimit | None = None
    ) -> None:
        self._trusted = tuple(trusted)
        self._keys = keys
        self._rate_limit = rate_limit

    async def caller_of(self, connection: HTTPConnection) -> Caller:
        """Return who calls, without scopes if nobody knows. Raises NotAuthenticated for a key nobody knows."""
        shown = _shown_key(connection)
        if shown is not None:
            return await self.caller_with(shown)
        host = connection.client.host if connection.client else "unknown"
        return Caller(host, frozenset(Scope) if self._is_trusted(host) else frozenset())

    async def caller_with(self, text: str) -> Caller:
        """Return whose key this is. Raises NotAuthenticated, and StoreUnavailable while no key was ever read."""
        key = await self._keys.find(text) if self._keys else None
        if key is None:
            raise NotAuthenticated("this key is not known, or was revoked")
        return Caller(key.key_id, key.scopes, key.underlyings, has_key=True)

    async def check_known(self, caller: Caller) -> None:
        """Raise NotAuthenticated once the caller's key was revoked: a connection may outlive its key."""
        if caller.has_key and self._keys and not await self._keys.has(caller.name):
            raise NotAuthenticated("this key was revoked")

    async def pay(self, caller: Caller) -> None:
        """Count one request of a caller with a key. Raises TooManyRequests."""
        if self._rate_limit and caller.has_key:
            await self._rate_limit.pay(caller.name)

    def _is_trusted(self, host: str) -> bool:
        address = _address_of(host)
        return address is not None and (address.is_loopback or any(address in network for network in self._trusted))


def requires(needed: Scope, gate: Gate) -> Callable[[HTTPConnection], Awaitable[Caller]]:
    """Return a dependency that gives the caller, and refuses one without ``needed`` or the path's underlying."""

    async def check(connection: HTTPConnection) -> Caller:
        caller = await gate.caller_of(connection)
        await gate.pay(caller)
        caller.check(needed)
        if (underlying := connection.path_params.get("underlying")) is not None:
            caller.check_underlying(underlying)
        return caller

    return check


@lru_cache(maxsize=1024)
def _address_of(host: str) -> Address | None:
    """Return ``host`` as an address; None for what has none, a Unix socket or a test client."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _shown_key(connection: HTTPConnection) -> str | None:
    key = connection.headers.get(KEY_HEADER)
    if key is not None:
        return key
    authorization = connection.headers.get("authorization", "")
    return authorization[len(BEARER) :].strip() if authorization[: len(BEARER)].lower() == BEARER else None
