"""What the server or the way to it can do wrong, as the one exception the ports know."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import exceptions

from app.service.ports import StoreUnavailable

SOON_S: Final = 1.0
"""A server that restarts answers again within a second or two."""
LATER_S: Final = 5.0
"""Memory and disk come free at the pace of the queue or of an operator."""

_REFUSALS: Final = (
    ("OOM", "the store is out of memory", LATER_S),
    ("MISCONF", "the store cannot write to its disk", LATER_S),
    ("LOADING", "the store is loading its data", SOON_S),
    ("READONLY", "the store is a read-only replica", LATER_S),
    ("BUSY ", "the store is busy with a script", SOON_S),
    ("NOAUTH", "the store wants a password", LATER_S),
    ("WRONGPASS", "the store refuses the password", LATER_S),
    ("NOPERM", "the store does not permit this", LATER_S),
    ("ClusterDown", "a part of the cluster is away", SOON_S),
    ("MovedError", "the cluster's nodes do not agree who has a slot", SOON_S),
    ("AskError", "a slot is being moved to another node", SOON_S),
    ("TryAgain", "a slot is being moved to another node", SOON_S),
)
"""Words of a refusal, which older servers wrap in a generic script error, or of its class, and what they mean."""


def unavailable(error: Exception) -> StoreUnavailable:
    """Return ``error``, raised by the client or the loop's timeout, as StoreUnavailable."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, exceptions.BusyLoadingError):
        return StoreUnavailable("the store is loading its data", SOON_S)
    if isinstance(error, exceptions.OutOfMemoryError):
        return StoreUnavailable("the store is out of memory", LATER_S)
    if isinstance(error, exceptions.ReadOnlyError):
        return StoreUnavailable("the store is a read-only replica", LATER_S)
    if isinstance(error, exceptions.ResponseError | exceptions.AuthenticationError):
        for word, meaning, retry_after_s in _REFUSALS:
            if word in text:
                return StoreUnavailable(f"{meaning} ({error})", retry_after_s)
        return StoreUnavailable(f"the store refused: {error}", LATER_S)
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return StoreUnavailable(f"the store did not answer in time ({text})", SOON_S)
    return StoreUnavailable(f"the store cannot be reached ({text})", SOON_S)


def nobody_answered(failure: StoreUnavailable) -> bool:
    """Say whether the server was silent or absent, rather than unwilling."""
    return isinstance(failure.__cause__, exceptions.ConnectionError | exceptions.TimeoutError | OSError)


@contextmanager
def store_failures() -> Iterator[None]:
    """Raise StoreUnavailable for every failure of the client or the connection inside the block."""
    try:
        yield
    except (exceptions.RedisError, OSError) as error:  # TimeoutError is an OSError
        raise unavailable(error) from error
