"""Everything on this machine under one supervisor: store, workers, API and the demo feed."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app import logs
from app.commands.healthy import answers_ready
from app.settings import Settings, environment_of_children, load
from app.store.embedded import EmbeddedServer
from app.store.server_program import ServerNotStarted
from app.supervisor import Refused, Supervisor, app_program

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none: `run` is configured by the environment."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM."""
    del arguments
    settings = load()
    logs.configure(settings.log_level_number, settings.log_format, "supervisor")
    if problem := _port_problem(settings):
        sys.stderr.write(f"{problem}\n")
        return os.EX_UNAVAILABLE
    exit_code = 0
    try:
        with _store(settings) as (server, redis_url):
            asyncio.run(_supervisor(settings, server, redis_url).run())
    except* Refused as refused:
        sys.stderr.writelines(f"{each}\n" for each in refused.exceptions)
        exit_code = os.EX_CONFIG
    except* ServerNotStarted as failed:
        sys.stderr.writelines(f"{each}\n" for each in failed.exceptions)
        exit_code = os.EX_UNAVAILABLE
    return exit_code


def _supervisor(settings: Settings, server: EmbeddedServer | None, redis_url: str) -> Supervisor:
    workers = [app_program(name, "worker", "--name", name) for name in _worker_names(settings)]
    return Supervisor(
        server=server,
        programs=[app_program("api", "api"), *workers],
        last=[app_program("demo", "demo", once=True)] if settings.demo else [],
        environment=environment_of_children(REDIS_URL=redis_url),
        ready=lambda: answers_ready(settings),
        on_ready=lambda: print(where_to_look(settings), flush=True),
    )


def _worker_names(settings: Settings) -> list[str]:
    return [f"worker-{number}" for number in range(1, settings.workers + 1)]


@contextmanager
def _store(settings: Settings) -> Iterator[tuple[EmbeddedServer | None, str]]:
    """Give the server to keep alive, if it is ours, and its URL."""
    if settings.redis_url:
        yield None, settings.redis_url
        return
    server = EmbeddedServer(settings.data_dir, appendfsync=settings.appendfsync, program=settings.redis_bin)
    try:
        yield server, server.start()
    finally:
        server.stop()


def _port_problem(settings: Settings) -> str | None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return (
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; SMILEKEEPER_PORT chooses another"
            )
    return None


def where_to_look(settings: Settings) -> str:
    """Return what a person at the terminal can try."""
    url = settings.base_url
    socket_url = url.replace("http", "ws", 1)
    subscribe = '{"op": "subscribe", "id": 1, "channels": ["surface.*"]}'
    evaluate = '{"tenor_days": [30, 30, 30], "delta": ["25P", "ATM", "25C"]}'
    return f"""
Smilekeeper serves at {url}

  the page        {url}/        (API: {url}/docs)
  surfaces        curl -s {url}/v1/surfaces
  one surface     curl -s {url}/v1/surfaces/BTC
  vols, 30 days   curl -s {url}/v1/surfaces/BTC/evaluate -H 'Content-Type: application/json' -d '{evaluate}'
  each update     (echo '{subscribe}'; cat) | {sys.executable} -m websockets {socket_url}/v1/stream | cut -c 1-200

Ctrl-C ends everything.
"""
