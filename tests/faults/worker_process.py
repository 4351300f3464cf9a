"""What a worker process of these tests runs: the real loop, with real fits or as the chain tells."""

import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial

from app import worker
from app.quant.models import DEFAULT_MODEL
from app.service.event import EventKind, Notice
from app.service.ports import Claim
from app.service.recalibrate import CalibrationPolicy, Fitted, Unfit, recalibrate
from app.stop_signals import stop_on_signals
from app.store.codec import decode_chain
from app.store.connect import connect_worker

QUICK, SLOW, HANGS, DIES, RAISES, REFUSES, RAISES_AFTERWARDS, HANGS_AFTERWARDS = range(8)
SLOW_S = 2.0
"""Time enough for a test to do something to a worker in a fit, on a busy machine too."""
LEASE_S = 1.0
FIT_LIMIT_S = 2.5
PATIENT_S = 60.0
"""A limit of fits and a lease on a busy machine, and in processes that are stopped for seconds: none of them hangs."""
HANGS_S = 600.0
LASTS_S = {SLOW: SLOW_S, HANGS: HANGS_S}


def fit(name: str, claim: Claim) -> Fitted | Unfit:
    """Return a surface that says who fitted which attempt."""
    kind = claim.sequence
    if kind == DIES:
        os.kill(os.getpid(), 9)
    if kind == RAISES:
        raise ZeroDivisionError("a defect")
    if kind == REFUSES:
        return Unfit("no smile in it", "no_smile")
    if kind in LASTS_S:
        time.sleep(LASTS_S[kind])
    said = Notice(EventKind.GATE, f"attempt {claim.attempt}")
    return Fitted(b'{"attempt":%d,"by":"%s"}' % (claim.attempt, name.encode()), "ok", events=(said,))


def follow_up(claim: Claim, _: bytes) -> None:
    """Do after the surface is out what the chain tells."""
    if claim.sequence == RAISES_AFTERWARDS:
        raise ZeroDivisionError("a defect of a challenger")
    if claim.sequence == HANGS_AFTERWARDS:
        time.sleep(HANGS_S)


def work(url: str, name: str) -> None:
    """Run a worker that fits as it is told until SIGTERM."""
    _work(url, name, partial(fit, name))


def work_under_a_limit(url: str, name: str) -> None:
    """Run a worker whose fits may take FIT_LIMIT_S only."""
    _work(url, name, partial(fit, name), fit_limit_s=FIT_LIMIT_S)


def work_undisturbed(url: str, name: str) -> None:
    """Run a worker that no other takes anything from, and that ends no fit that will end."""
    worker.FINISH_WITHIN_S = PATIENT_S  # type: ignore[misc]
    _work(url, name, partial(fit, name), lease_s=PATIENT_S)


def calibrate(url: str, name: str) -> None:
    """Run a worker that calibrates, as the service's do, until SIGTERM."""
    policy = CalibrationPolicy(model=DEFAULT_MODEL)
    _work(url, name, partial(recalibrate, decode_chain=decode_chain, policy=policy))


def _work(
    url: str,
    name: str,
    fitting: Callable[[Claim], Fitted | Unfit],
    *,
    lease_s: float = LEASE_S,
    fit_limit_s: float = PATIENT_S,
) -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    stop = stop_on_signals()
    worker.run_worker(
        connect_worker(url, name=name, lease_s=lease_s),
        recalibrate=fitting,
        warm_up=lambda: None,
        name=name,
        lease_s=lease_s,
        fit_limit_s=fit_limit_s,
        stop=stop,
        afterwards=follow_up,
    )


if __name__ == "__main__":
    work_undisturbed(sys.argv[1], sys.argv[2])
