"""Who is let in without a key: this machine, and the networks that are trusted on purpose."""

from ipaddress import ip_network

import pytest
from starlette.requests import HTTPConnection

from app.api.access import Scope, scopes_by_address

TRUSTED = (ip_network("172.16.0.0/12"), ip_network("fd00::/8"))


def caller(host: str | None) -> HTTPConnection:
    return HTTPConnection({"type": "http", "client": (host, 1) if host else None, "headers": []})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "172.18.0.4", "fd12::1"])
def test_let_in(host: str) -> None:
    assert scopes_by_address(TRUSTED)(caller(host)) == frozenset(Scope)


@pytest.mark.parametrize("host", ["172.32.0.1", "10.0.0.1", "8.8.8.8", "2001:db8::1", "testclient", None])
def test_kept_out(host: str | None) -> None:
    assert scopes_by_address(TRUSTED)(caller(host)) == frozenset()


def test_nobody_else_is_trusted_by_default() -> None:
    assert scopes_by_address()(caller("172.18.0.4")) == frozenset()
