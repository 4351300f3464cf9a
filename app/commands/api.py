"""Serve HTTP and WebSocket over the store."""

import argparse
import os
import sys
import time
from typing import Final

from app import logs
from app.api.access import Gate
from app.api.app import create_app
from app.api.known_keys import KnownKeys
from app.api.rate_limit import RateLimit
from app.api.server import serve
from app.api.services import ApiLimits, ApiServices
from app.code_version import VERSION
from app.garbage import keep_what_is_there
from app.heap import share_one_arena
from app.quant.warm_up import warm_up_queries
from app.service.ports import StoreUnavailable
from app.settings import InvalidSettings, Settings, load, required_redis_url
from app.store.codec import decode_chain, encode_chain
from app.store.connect import connect_access_keys, connect_async
from app.venues import VENUES

SWITCH_INTERVAL_S: Final = 0.001
"""After so long a thread that answers a large query lets the event loop run; Python's own 5 ms add up in one answer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none: the API is configured by the environment."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    del arguments
    settings = load()
    logs.configure(settings.log_level_number, settings.log_format, "api")
    try:
        _require_a_way_in(settings)
        share_one_arena()
        warm_up_queries()
        app = create_app(_services(settings))
        keep_what_is_there()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        serve(
            app,
            settings.host,
            settings.port,
            max_message_bytes=settings.max_body_bytes,
            proxies=[str(network) for network in settings.trusted_networks],
        )
    except OSError as error:
        sys.stderr.write(f"cannot listen on {settings.host}:{settings.port}: {error}\n")
        return os.EX_UNAVAILABLE
    except StoreUnavailable as error:
        sys.stderr.write(f"cannot tell whether there is a key: {error}\n")
        return os.EX_UNAVAILABLE
    return 0


def _require_a_way_in(settings: Settings) -> None:
    """Refuse to listen beyond this machine before anybody out there could be let in."""
    if settings.is_local or settings.trusted_networks:
        return
    cabinet = connect_access_keys(required_redis_url(settings), shards=settings.shards)
    kept = cabinet.kept()
    cabinet.close()
    if not kept:
        raise InvalidSettings(
            [
                f"SMILEKEEPER_HOST={settings.host}: other machines reach it, and there is no key to let them in; make"
                " one with `python -m app keys create NAME`, or name SMILEKEEPER_TRUSTED_NETWORKS"
            ]
        )


def _services(settings: Settings) -> ApiServices:
    store = connect_async(
        required_redis_url(settings),
        shards=settings.shards,
        longest_wait_s=settings.longest_wait_s,
        answer_within_s=settings.store_answers_within_s,
    )
    return ApiServices(
        intake=store.intake,
        reader=store.surfaces,
        feed=store.updates,
        fleet=store.fleet,
        venues=VENUES,
        encode_chain=encode_chain,
        clock=lambda: time.time_ns() // 1_000_000,
        events=store.events,
        event_feed=store.event_feed,
        limits=ApiLimits(
            max_body_bytes=settings.max_body_bytes,
            stale_after_s=settings.stale_after_s,
            history_limit=settings.history_limit,
            ws_connections_per_key=settings.connections_per_key,
        ),
        archive=store.chains,
        decode_chain=decode_chain,
        answers=store.answers,
        factors=store.factors,
        scores=store.scores,
        promotions=store.promotions,
        gate=Gate(
            settings.trusted_networks,
            KnownKeys(store.key_ring),
            RateLimit(store.rate_buckets, settings.requests_per_s),
        ),
        close=store.close,
        version=VERSION,
    )
