"""What a worker process of these tests runs: the real loop, with fits as the chain's sequence tells."""

import logging
import os
import time
from functools import partial

from app.service.ports import Claim
from app.service.recalibrate import Fitted, Unfit
from app.store.connect import connect_worker
from app.worker import run_worker, stop_on_signals

QUICK, SLOW, HANGS, DIES, RAISES, REFUSES = range(6)
SLOW_S = 0.6
LEASE_S = 1.0
FIT_LIMIT_S = 2.5


def fit(name: str, claim: Claim) -> Fitted | Unfit:
    """Return a surface that says who fitted which attempt."""
    kind = claim.sequence
    if kind == DIES:
        os.kill(os.getpid(), 9)
    if kind == RAISES:
        raise ZeroDivisionError("a defect")
    if kind == REFUSES:
        return Unfit("no smile in it", "no_smile")
    time.sleep({SLOW: SLOW_S, HANGS: 60.0}.get(kind, 0.0))
    return Fitted(b'{"attempt":%d,"by":"%s"}' % (claim.attempt, name.encode()), "ok")


def work(url: str, name: str) -> None:
    """Run a worker until SIGTERM."""
    logging.getLogger().addHandler(logging.NullHandler())
    stop = stop_on_signals()
    run_worker(
        connect_worker(url, name=name, lease_s=LEASE_S),
        recalibrate=partial(fit, name),
        warm_up=lambda: None,
        name=name,
        lease_s=LEASE_S,
        fit_limit_s=FIT_LIMIT_S,
        stop=stop,
    )
