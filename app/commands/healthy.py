"""Ask whether the service on this machine is ready, or a worker alive: the probe of containers and of `run`."""

import argparse
import asyncio
import socket
from typing import Final
from urllib.parse import urlsplit

from app.settings import Settings, load, required_redis_url

ANSWER_LIMIT_S: Final = 2.0
"""A service that takes longer than this to say that it is ready, is not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whose health is asked for."""
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--of", metavar="URL", help="a service elsewhere (default: the one on this machine)")
    whose.add_argument(
        "--worker",
        nargs="?",
        const=socket.gethostname(),
        metavar="NAME",
        help="the worker of this name, by what it last said to the store (default: the host's name)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Return 0 when ready, for a worker when it lives, else 1."""
    settings = load()
    if arguments.worker:
        return 0 if asyncio.run(worker_lives(settings, arguments.worker)) else 1
    url = urlsplit(arguments.of or settings.base_url)
    return 0 if asyncio.run(_is_ready(url.hostname or "", url.port or 80)) else 1


async def answers_ready(settings: Settings) -> bool:
    """Say whether GET /readyz on this machine is answered with 200."""
    return await _is_ready(settings.local_host, settings.port)


async def worker_lives(settings: Settings, name: str) -> bool:
    """Say whether worker ``name`` has told the store lately that it lives.

    A worker says so every second or two, also while it compiles; what it said expires by itself.
    """
    # Imported here, so that asking a service does not wait for the store's client.
    from app.service.ports import StoreUnavailable  # noqa: PLC0415
    from app.store.connect import connect_async  # noqa: PLC0415

    store = connect_async(required_redis_url(settings), shards=settings.shards)
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            return name in await store.fleet.living_workers()
    except (StoreUnavailable, TimeoutError):
        return False
    finally:
        await store.close()


async def _is_ready(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            return b" 200 " in await _status_line(host, port)
    except OSError:  # nobody listens yet, or TimeoutError
        return False


async def _status_line(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return await reader.readline()
    finally:
        writer.close()
