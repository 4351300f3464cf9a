"""Every key of the store, and the protocol the scripts keep.

A key is ``<prefix>:{s<shard>}:<noun>[:<underlying>]``. The braces are a hash tag: all keys of a shard live in one slot,
so a script may change them together. An underlying's shard is crc32(name) mod the number of shards, and never changes
while that number does not. The prefix lets several deployments share a server.

=================  ======  ==========================================================================================
noun               type    holds
=================  ======  ==========================================================================================
underlyings        set     every underlying of the shard that ever had a chain
queue              stream  tokens (consumer group ``fit``), at most one an underlying; never trimmed
state:U            hash    the state machine of U and its counters
chain:U            string  the newest chain of U while it waits or is fitted (codec.encode_chain)
history:U          stream  the surfaces of U, entry ``<version>-0``; the last one is the newest; capped
chains:U           stream  the chain each surface was fitted to and the state it was fitted from, entry ``<version>-0``
factors:U          stream  market factors of U, a row for six seconds of surfaces, entry ``<version>-0``; capped
scores:U           hash    challengers of U: the board that travels between chains, its report, its chain's order
updates            stream  every published surface as in its history, numbered without gaps by ``number``; capped
events             stream  what happened to the shard's underlyings, numbered without gaps by ``number``; capped
dead               stream  chains that ended their worker ``max_attempts`` times, with their bytes; capped
quarantine         stream  payloads whose checksum failed, as they were found; capped
counters           hash    what belongs to no underlying: update and event number, quarantined payloads, refused bodies
histograms         hash    ``<histogram>:<bound in us>`` -> observations in that bucket, ``<histogram>:sum_us``
workers            hash    worker -> when it expires, warm or not, what it is busy with (shard 0 only)
rate:C             hash    token bucket of the caller C; expires once full
answer:K           string  what was answered to a request with an Idempotency-Key; expires
access_keys        hash    id of a caller's key -> what it allows and the key's SHA-256 (shard 0 only)
=================  ======  ==========================================================================================

The state of an underlying (field ``state``) and what it implies:

=========  ===========================================================  ================
state      meaning                                                      pending chains
=========  ===========================================================  ================
idle       nothing to do; no token, no chain                            0
queued     its token waits in the queue, its chain is the newest        1
running    a worker holds the token under a lease and a fence           1, or 2 if dirty
=========  ===========================================================  ================

``dirty`` exists while running once a newer chain has replaced the one being fitted in ``chain:U``.

Its row of factors waits in the state (``factor_row``, and ``factor_slot`` of the surface it is of, whether that was
``factor_fitted``) until a surface of another slot comes, and only then enters its stream: what is there never changes.
``factor_version`` is the newest surface that was taken account of, from ``factor_since`` on all were.

=============  =====================  =================================================================================
script         transition             counters, changed in the same script
=============  =====================  =================================================================================
ingest         idle -> queued         received
               queued -> queued       received, superseded                                (coalesced)
               running -> dirty       received                                            (deferred)
               dirty -> dirty         received, superseded                                (coalesced)
               none                   received, duplicate or stale: not after the newest chain received
               none                   none: a chain of the shard waits too long for a worker, so nothing is accepted
               queued -> queued       received, superseded: a damaged log had lost the token   (queued)
claim          queued -> running      new fence, attempts + 1
               running -> running     the lease ran out: reclaimed, and superseded if dirty
               running -> idle        too many attempts: failed, dead_lettered
settle         running -> idle        fitted or failed; publishes, or keeps a surface of a newer chain
               dirty -> queued        the same, and a new token
               none                   fenced: the fence is no longer the underlying's
hand_back      running -> queued      attempts - 1: the fit was not finished
               dirty -> queued        superseded
revive         idle -> queued         received: a dead letter that is still the newest chain
=============  =====================  =================================================================================

A promotion writes the model's name into the state (field ``model``), from where every claim hands it to its worker; a
board of scores is written unless one of a newer chain is kept, so that a late one is lost and nothing else.

Hence received = fitted + failed + superseded + stale + duplicate + pending, for every underlying, at every instant: a
server runs a script as a whole or not at all, and logs it so.

Events. What people want to know is written in the script that makes it so, after its first write and never before the
fence was checked: settle records the events of what it publishes or fails (none of a surface it keeps back for a newer
one), claim the dead letter, record an event of its own. Each counts as ``event:<kind>`` of its underlying. The entry's
id is the event's time order; several shards are merged by it.

A token is held through the consumer group: extend renews the lease by resetting the token's idle time, and whoever
finds a token idle for longer than a lease takes it over. claim refuses a consumer that no longer holds the token.

Order. Chains are ordered by (as_of, sequence), written as one string of fixed width (:func:`chain_order`), because a
script's numbers are doubles and would call two nearby nanosecond sequences equal.

Versions and fences are hybrid clocks: max(previous + 1, the server's microseconds). After a crash that lost the last
second a counter would give a number out twice, to two different surfaces or two different workers; a clock does not.

Memory. When the server is full, a script whose first write may need memory is refused as a whole, and one whose first
write never does runs to its end. So ingest and revive begin with HINCRBY, which refuses new chains, and every other
script of the queue with a write that frees, which lets queued work drain. record may be refused like a new chain.

Lost replies. settle and hand_back may be repeated: the fence that settled last, and how, are remembered. A repeated
ingest answers ``duplicate``. A lost claim costs one lease.
"""

import zlib
from typing import Final

GROUP: Final = "fit"
"""Consumer group of the queue."""

DEFAULT_PREFIX: Final = "smilekeeper"

UPDATES_KEPT: Final = 500
"""Entries of the update log, about: 5 MB with the surfaces; a reader away for longer catches up from the histories."""

DEAD_LETTERS_KEPT: Final = 100
"""With their chains, 4 MB at 40 kB each."""

EVENTS_KEPT: Final = 10_000
"""Events of a shard: about 5 MB, and weeks of ordinary markets."""

QUARANTINED_KEPT: Final = 100

MAX_ATTEMPTS: Final = 3
"""Fits of one chain that may end without an answer before it is called poison."""

HISTOGRAM_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histograms' buckets, seconds; one more bucket takes the rest."""

CALIBRATION_DURATION: Final = "calibration_duration"
QUEUE_WAIT: Final = "queue_wait"
END_TO_END: Final = "end_to_end"
"""From a chain's as_of to its surface's publication."""
RECEIVED_TO_PUBLISHED: Final = "received_to_published"
"""From a chain's acceptance to its surface's publication."""
HISTOGRAMS: Final = (CALIBRATION_DURATION, QUEUE_WAIT, END_TO_END, RECEIVED_TO_PUBLISHED)

_INT64: Final = 1 << 63


HISTOGRAM_BOUNDS_US: Final = ",".join(str(round(bound * 1e6)) for bound in HISTOGRAM_BOUNDS_S)
"""The bounds as the scripts take them: whole microseconds, joined by commas."""


def chain_order(as_of_ms: int, sequence: int) -> str:
    """Return a string that sorts as (as_of_ms, sequence) does. Raises ValueError for what is not a 64-bit integer."""
    for name, value in (("as_of_ms", as_of_ms), ("sequence", sequence)):
        if not -_INT64 <= value < _INT64:
            raise ValueError(f"{name} {value} must be a signed 64-bit integer")
    return f"{as_of_ms + _INT64:020d}{sequence + _INT64:020d}"


class Keys:
    """The names of the keys of one deployment."""

    def __init__(self, prefix: str = DEFAULT_PREFIX, shards: int = 1) -> None:
        if shards < 1:
            raise ValueError(f"{shards} shards: there must be at least 1")
        if "{" in prefix or "}" in prefix:
            raise ValueError(f"prefix {prefix!r} must have no braces: they belong to the hash tag")
        self.shards = range(shards)
        self._prefix = prefix

    def shard_of(self, underlying: str) -> int:
        """Return the shard that holds ``underlying``."""
        return zlib.crc32(underlying.encode()) % len(self.shards)

    def underlyings(self, shard: int) -> str:
        """Return the set of the shard's underlyings."""
        return self._of_shard(shard, "underlyings")

    def queue(self, shard: int) -> str:
        """Return the stream of tokens."""
        return self._of_shard(shard, "queue")

    def updates(self, shard: int) -> str:
        """Return the update log."""
        return self._of_shard(shard, "updates")

    def events(self, shard: int) -> str:
        """Return the log of events."""
        return self._of_shard(shard, "events")

    def dead(self, shard: int) -> str:
        """Return the stream of dead letters."""
        return self._of_shard(shard, "dead")

    def quarantine(self, shard: int) -> str:
        """Return the stream of quarantined payloads."""
        return self._of_shard(shard, "quarantine")

    def counters(self, shard: int) -> str:
        """Return the hash of counters that belong to no underlying."""
        return self._of_shard(shard, "counters")

    def histograms(self, shard: int) -> str:
        """Return the hash of histogram buckets."""
        return self._of_shard(shard, "histograms")

    def workers(self) -> str:
        """Return the hash of announced workers."""
        return self._of_shard(0, "workers")

    def access_keys(self) -> str:
        """Return the hash of callers' keys."""
        return self._of_shard(0, "access_keys")

    def rate(self, caller: str) -> str:
        """Return the token bucket of a caller."""
        return self._of_underlying(caller, "rate")

    def answer(self, name: str) -> str:
        """Return the kept answer with this name."""
        return self._of_underlying(name, "answer")

    def state(self, underlying: str) -> str:
        """Return the hash of the underlying's state and counters."""
        return self._of_underlying(underlying, "state")

    def chain(self, underlying: str) -> str:
        """Return the underlying's newest chain."""
        return self._of_underlying(underlying, "chain")

    def history(self, underlying: str) -> str:
        """Return the stream of the underlying's surfaces."""
        return self._of_underlying(underlying, "history")

    def factors(self, underlying: str) -> str:
        """Return the stream of the underlying's market factors."""
        return self._of_underlying(underlying, "factors")

    def scores(self, underlying: str) -> str:
        """Return the hash of the scores of the underlying's champion and challengers."""
        return self._of_underlying(underlying, "scores")

    def chains(self, underlying: str) -> str:
        """Return the stream of the chains that the underlying's surfaces were fitted to."""
        return self._of_underlying(underlying, "chains")

    def _of_shard(self, shard: int, noun: str) -> str:
        return f"{self._prefix}:{{s{shard}}}:{noun}"

    def _of_underlying(self, underlying: str, noun: str) -> str:
        return f"{self._of_shard(self.shard_of(underlying), noun)}:{underlying}"
