"""Ask the service on this machine whether it is ready: the probe of containers and of `run`."""

import argparse
import asyncio
from typing import Final

from app.settings import Settings, load

ANSWER_LIMIT_S: Final = 2.0
"""A service that takes longer than this to say that it is ready, is not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Return 0 when ready, else 1."""
    del arguments
    return 0 if asyncio.run(answers_ready(load())) else 1


async def answers_ready(settings: Settings) -> bool:
    """Say whether GET /readyz is answered with 200."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            return b" 200 " in await _status_line(settings.local_host, settings.port)
    except OSError:  # nobody listens yet, or TimeoutError
        return False


async def _status_line(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return await reader.readline()
    finally:
        writer.close()
