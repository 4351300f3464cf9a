"""Make, list and revoke the keys that callers from other machines need; the store keeps only their hashes."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.service.access_key import AccessKey, Scope, issue
from app.service.iso_time import iso_utc
from app.service.ports import StoreUnavailable
from app.settings import Settings, load
from app.store.access_keys import KeyCabinet
from app.store.connect import connect_access_keys
from app.store.data_folder import running_url
from app.store.embedded import EmbeddedServer
from app.store.server_program import ServerNotStarted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    create = verbs.add_parser("create", help="print a new key; it is shown this once")
    create.add_argument("name", help="whose it is, for people")
    create.add_argument("--scopes", default="read", help=f"of {', '.join(Scope)}, by commas (default: %(default)s)")
    create.add_argument("--underlyings", help="the only ones it is for, by commas (default: all)")
    verbs.add_parser("list", help="show every key, without its secret")
    revoke = verbs.add_parser("revoke", help="refuse a key within a second")
    revoke.add_argument("key_id", metavar="ID", help="as `list` shows it")


def run(arguments: argparse.Namespace) -> int:
    """Do it on the store of REDIS_URL, else on the embedded one of the data folder, running or not."""
    try:
        with _cabinet(load()) as cabinet:
            return _done(arguments, cabinet)
    except (StoreUnavailable, ServerNotStarted) as error:
        print(error, file=sys.stderr)
        return os.EX_UNAVAILABLE


def _done(arguments: argparse.Namespace, cabinet: KeyCabinet) -> int:
    if arguments.verb == "create":
        return _create(arguments, cabinet)
    if arguments.verb == "revoke":
        if not cabinet.revoke(arguments.key_id):
            print(f"there is no key with the id {arguments.key_id!r}", file=sys.stderr)
            return os.EX_DATAERR
        return 0
    for key in cabinet.kept():
        print(described(key))
    return 0


def _create(arguments: argparse.Namespace, cabinet: KeyCabinet) -> int:
    try:
        scopes = [Scope(each) for each in _words(arguments.scopes)]
        underlyings = None if arguments.underlyings is None else _words(arguments.underlyings)
        text, key = issue(arguments.name, scopes, underlyings, now_ms=time.time_ns() // 1_000_000)
    except ValueError as error:
        print(f"no key was made: {error}", file=sys.stderr)
        return os.EX_USAGE
    cabinet.add(key)
    print(described(key), file=sys.stderr)
    print(text)
    return 0


def described(key: AccessKey) -> str:
    """Return the line about a key."""
    underlyings = "all underlyings" if key.underlyings is None else ",".join(sorted(key.underlyings))
    return f"{key.key_id}  {iso_utc(key.created_ms)}  {','.join(sorted(key.scopes))}  {underlyings}  {key.name}"


@contextmanager
def _cabinet(settings: Settings) -> Iterator[KeyCabinet]:
    server = None
    try:
        url = settings.redis_url
        if url is None:
            try:
                url = running_url(settings.data_dir)
            except ServerNotStarted:  # the service is not running: its store is opened for this command
                program, appendfsync = settings.redis_bin, settings.appendfsync
                server = EmbeddedServer(settings.data_dir, appendfsync=appendfsync, program=program)
                url = server.start()
        cabinet = connect_access_keys(url, shards=settings.shards)
        yield cabinet
        cabinet.close()
    finally:
        if server:
            server.stop()


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
