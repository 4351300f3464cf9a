"""Calibrate waiting chains, one at a time, until asked to stop. Run as many as there are cores to spare."""

import argparse
import functools
import logging
import socket

from app import logs
from app.commands.calibration_policy import calibration_policy, challenge_policy
from app.garbage import keep_what_is_there
from app.quant.compiled import uncached_kernels
from app.quant.warm_up import warm_up
from app.service.challenge import challenge
from app.service.ports import Claim
from app.service.recalibrate import keep_ready, recalibrate
from app.settings import load, required_redis_url
from app.stop_signals import stop_on_signals
from app.store.codec import decode_chain
from app.store.connect import connect_promotions, connect_scores, connect_worker
from app.store.settlement import Retention
from app.worker import ANSWER_FOR_S, ANSWER_SHARD_FOR_S, run_worker

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the worker's name."""
    parser.add_argument("--name", default=socket.gethostname(), help="in logs and metrics (default: the host's name)")


def run(arguments: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT."""
    settings = load()
    logs.configure(settings.log_level_number, settings.log_format, arguments.name)
    policy, rules = calibration_policy(settings), challenge_policy(settings)
    redis_url = required_redis_url(settings)
    stop = stop_on_signals()
    if uncached_kernels():
        log.warning("kernels_not_cached", extra={"count": len(uncached_kernels()), "effect": "compiled at every start"})
    queue = connect_worker(
        redis_url,
        name=arguments.name,
        lease_s=settings.lease_s,
        shards=settings.shards,
        retention=Retention(
            surfaces=settings.history_limit,
            chains=settings.chains_limit,
            age_s=settings.history_age_h * 3_600.0,
            factors=settings.factors_limit,
        ),
    )
    score = functools.partial(
        challenge,
        keeper=connect_scores(redis_url, shards=settings.shards),
        desk=connect_promotions(redis_url, shards=settings.shards),
        decode_chain=decode_chain,
        policy=policy,
        rules=rules,
    )

    def afterwards(claim: Claim, document: bytes) -> None:
        keep_ready(document)
        if settings.challengers:
            score(claim)

    run_worker(
        queue,
        recalibrate=functools.partial(recalibrate, decode_chain=decode_chain, policy=policy),
        warm_up=_get_ready,
        name=arguments.name,
        lease_s=settings.lease_s,
        fit_limit_s=settings.fit_limit_s,
        stop=stop,
        answer_for_s=ANSWER_FOR_S if settings.shards == 1 else ANSWER_SHARD_FOR_S,
        afterwards=afterwards,
    )
    queue.close()
    return 0


def _get_ready() -> None:
    warm_up()
    keep_what_is_there()
