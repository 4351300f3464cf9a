"""Chains that ended their worker each time: list them, look into one, or try one again."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from app.quant.chain import ExpiryQuotes
from app.service.iso_time import iso_utc
from app.service.ports import CorruptPayload, StoreUnavailable
from app.settings import load
from app.store.codec import decode_chain
from app.store.connect import connect_dead_letters
from app.store.data_folder import running_url
from app.store.dead_letters import DeadLetter, DeadLetters, Revival
from app.store.server_program import ServerNotStarted

REVIVALS: Final = {
    Revival.QUEUED: "queued again, with fresh attempts",
    Revival.STALE: "not queued: a newer chain of its underlying has come since",
    Revival.BUSY: "not queued: its underlying is being worked on; try again in a moment",
    Revival.MISSING: "there is no such dead letter",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to do; without a word, list."""
    verbs = parser.add_subparsers(dest="verb", metavar="list|show|retry")
    verbs.add_parser("list", help="print one line a dead letter, oldest first (default)")
    for verb, summary in (("show", "print what a dead letter's chain holds"), ("retry", "queue a dead letter again")):
        verbs.add_parser(verb, help=summary).add_argument("name", metavar="NAME", help="as listed, such as 0/1785607-0")


def run(arguments: argparse.Namespace) -> int:
    """Do it and return 0; what cannot be done is explained on stderr."""
    settings = load()
    try:
        url = settings.redis_url or running_url(settings.data_dir)
        letters = connect_dead_letters(url, shards=settings.shards)
        try:
            return _done(letters, arguments.verb, getattr(arguments, "name", ""))
        finally:
            letters.close()
    except (ServerNotStarted, StoreUnavailable) as away:
        print(away, file=sys.stderr)
        return os.EX_UNAVAILABLE
    except (CorruptPayload, ValueError) as refused:
        print(refused, file=sys.stderr)
        return os.EX_DATAERR


def _done(letters: DeadLetters, verb: str | None, name: str) -> int:
    if verb == "retry":
        revival = letters.retry(name)
        print(f"{name}: {REVIVALS[revival]}", file=sys.stdout if revival is Revival.QUEUED else sys.stderr)
        return 0 if revival is Revival.QUEUED else 1
    if verb == "show":
        encoded = letters.chain(name)
        if encoded is None:
            print(f"{name}: {REVIVALS[Revival.MISSING]}", file=sys.stderr)
            return 1
        print("\n".join(_contents(encoded)))
        return 0
    kept = letters.kept()
    print("\n".join(_listing(kept)) if kept else "no dead letters")
    return 0


def _listing(kept: Sequence[DeadLetter]) -> Iterator[str]:
    width = max(len(letter.name) for letter in kept)
    yield f"{'name':{width}}  {'died':24}  {'as of':24}  {'sequence':>8}  attempts  {'bytes':>7}  underlying"
    for letter in kept:
        yield (
            f"{letter.name:{width}}  {iso_utc(letter.died_ms)}  {iso_utc(letter.as_of_ms)}  {letter.sequence:8}"
            f"  {letter.attempts:8}  {letter.chain_bytes:7}  {letter.underlying}"
        )


def _contents(encoded: bytes) -> Iterator[str]:
    chain = decode_chain(encoded)
    yield f"{chain.underlying}  {iso_utc(chain.as_of_ms)}  sequence {chain.sequence}  venue {chain.venue}"
    yield f"{len(chain)} quotes, premium in {chain.premium}; {len(chain.futures)} futures"
    yield f"{'expiry':24}  quotes  two-sided  strikes"
    for expiry in chain.expiries:
        yield f"{iso_utc(expiry.expiry_ms)}  {len(expiry):6}  {_two_sided(expiry):9}  {_strikes(expiry)}"


def _two_sided(expiry: ExpiryQuotes) -> int:
    return int(np.count_nonzero(np.isfinite(expiry.bid) & np.isfinite(expiry.ask)))


def _strikes(expiry: ExpiryQuotes) -> str:
    return f"{expiry.strike.min():g} to {expiry.strike.max():g}" if len(expiry) else "none"
