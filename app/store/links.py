"""How commands reach the server: one wrapper for asyncio, one for threads, each with its own time budget.

redis-py by default repeats a command up to ten times when its answer is late, which makes one chain two. Nothing is
repeated here: the callers know what may be. RESP2 is asked for because all servers and proxies speak it alike.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.service.ports import StoreUnavailable
from app.store.failures import SOON_S, store_failures
from app.store.lua import Script

Command = Sequence[str | bytes | int]

ANSWER_WITHIN_S: Final = 0.9
"""Budget of a command of the API: a frozen store is a 503 within a second."""
WORKER_ANSWER_WITHIN_S: Final = 5.0
"""Budget of a command of a worker, which has nobody waiting and can sit out a slow disk."""
CONNECT_WITHIN_S: Final = 2.0
BLOCK_S: Final = 2.0
"""Longest wait for news in one blocking command."""
BLOCK_MARGIN_S: Final = 3.0
"""How much later than its own wait a blocking command may answer."""
FAIL_FAST_S: Final = 0.25
"""After a silent or absent server, calls fail at once for this long instead of queueing up behind each other."""


class Link:
    """Commands from asyncio. Every method raises StoreUnavailable and nothing else."""

    def __init__(self, url: str, *, connections: int, budget_s: float, fail_fast_s: float = FAIL_FAST_S) -> None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=budget_s,
            socket_timeout=None,  # with one, redis-py sends under asyncio.wait_for, which in 3.11 loses cancellations
            socket_connect_timeout=min(budget_s, CONNECT_WITHIN_S),
            retry=AsyncRetry(NoBackoff(), 0),
            retry_on_error=[],
            protocol=2,
        )
        self._client: Any = redis.asyncio.Redis.from_pool(pool)  # its execute_command has no types
        self._budget_s = budget_s
        self._fail_fast_s = fail_fast_s
        self._closed_until = 0.0

    async def run(self, *command: str | bytes | int) -> Any:
        """Return the answer to one command."""
        self._refuse_while_away()
        return await self._timed(self._client.execute_command(*command))

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to commands sent together; they are not one transaction."""
        self._refuse_while_away()
        if not commands:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await self._timed(pipeline.execute())
        return answers

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
        """Return the answer of a script."""
        self._refuse_while_away()
        return await self._timed(self._run_script(script, keys, arguments))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _run_script(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
        try:
            return await self._client.execute_command(*script.by_sha1(keys, arguments))
        except exceptions.NoScriptError:  # it was not run: sending it again is safe
            return await self._client.execute_command(*script.in_full(keys, arguments))

    async def _timed(self, answer: Any) -> Any:
        try:
            with store_failures():
                async with asyncio.timeout(self._budget_s):
                    return await answer
        except StoreUnavailable as failure:
            if isinstance(failure.__cause__, exceptions.ConnectionError | exceptions.TimeoutError | OSError):
                self._closed_until = time.monotonic() + self._fail_fast_s
            raise

    def _refuse_while_away(self) -> None:
        if time.monotonic() < self._closed_until:
            raise StoreUnavailable("the store did not answer a moment ago", SOON_S)


class BlockingLink:
    """Commands from threads. Every method raises StoreUnavailable and nothing else."""

    def __init__(self, url: str, *, connections: int, budget_s: float = WORKER_ANSWER_WITHIN_S) -> None:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=budget_s,
            socket_timeout=budget_s,
            socket_connect_timeout=min(budget_s, CONNECT_WITHIN_S),
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
            protocol=2,
        )
        self._client: Any = redis.Redis.from_pool(pool)  # its execute_command has no types

    def run(self, *command: str | bytes | int) -> Any:
        """Return the answer to one command."""
        with store_failures():
            return self._client.execute_command(*command)

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
        """Return the answer of a script."""
        with store_failures():
            try:
                return self._client.execute_command(*script.by_sha1(keys, arguments))
            except exceptions.NoScriptError:  # it was not run: sending it again is safe
                return self._client.execute_command(*script.in_full(keys, arguments))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
