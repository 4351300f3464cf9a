"""How commands of asyncio reach the server, or the node of a cluster that has their key, within a time budget.

redis-py by default repeats a command up to ten times when its answer is late, which makes one chain two. Nothing is
repeated here but what a node did not run (NOSCRIPT, MOVED): the callers know what else may be. RESP2 is asked for
because all servers and proxies speak it alike.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.service.ports import StoreUnavailable
from app.store.connections import Connections
from app.store.failures import SOON_S, nobody_answered, store_failures, unavailable
from app.store.lua import Script
from app.store.nodes import CLUSTER_SLOTS, Command, Nodes, key_of

ANSWER_WITHIN_S: Final = 0.9
"""Budget of a command of the API: a frozen store is a 503 within a second."""
CONNECT_WITHIN_S: Final = 2.0
BLOCK_S: Final = 2.0
"""Longest wait for news in one blocking command."""
BLOCK_MARGIN_S: Final = 3.0
"""How much later than its own wait a blocking command may answer."""
FAIL_FAST_S: Final = 0.25
"""After a silent or absent server, calls fail at once for this long instead of queueing up behind each other."""


class Link:
    """Commands from asyncio. Every method raises StoreUnavailable and nothing else.

    ``connections`` and ``fail_fast_s`` are for each node.
    """

    def __init__(self, url: str, *, connections: int, budget_s: float, fail_fast_s: float = FAIL_FAST_S) -> None:
        self._nodes = Nodes(url)
        self._connections = connections
        self._clients: dict[str, Any] = {}  # redis-py's execute_command has no types
        self._budget_s = budget_s
        self._fail_fast_s = fail_fast_s
        self._closed_until: dict[str, float] = {}

    async def run(self, *command: str | bytes | int) -> Any:
        """Return the answer to one command."""
        return await self._asked(key_of(command), lambda client: client.execute_command(*command))

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
        """Return the answer of a script."""
        return await self._asked(keys[0], lambda client: _run_script(client, script, keys, arguments))

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to commands that only read, sent together; they are not one transaction."""
        if len(commands) == 1:
            return [await self.run(*commands[0])]
        answers = await self._together(commands)
        moved = [place for place, answer in enumerate(answers) if isinstance(answer, exceptions.MovedError)]
        if moved:
            await self.run(*commands[moved[0]])  # learns who has what
            again = await self._together([commands[place] for place in moved])
            for place, answer in zip(moved, again, strict=True):
                answers[place] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise unavailable(answer) from answer
        return answers

    async def of_owners(self, keys: Sequence[str], commands: Sequence[Command]) -> list[tuple[str, list[Any]]]:
        """Return for each key the node that has it, as far as is known, and its answers to commands without keys."""
        groups = list(self._nodes.by_owner(keys).items())
        said = await asyncio.gather(
            *(self._asked(keys[places[0]], lambda client: _pipelined(client, commands)) for _, places in groups)
        )
        found = {place: (node, each) for (node, places), each in zip(groups, said, strict=True) for place in places}
        return [found[place] for place in range(len(keys))]

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _together(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers, refusals among them; commands of one node go together, nodes are asked side by side."""
        keys = [key_of(command) for command in commands]
        answers: list[Any] = [None] * len(commands)

        async def answer(places: list[int]) -> None:
            asked = [commands[place] for place in places]
            said = await self._asked(keys[places[0]], lambda client: _pipelined(client, asked, raising=False))
            for place, each in zip(places, said, strict=True):
                answers[place] = each

        await asyncio.gather(*map(answer, self._nodes.by_owner(keys).values()))
        return answers

    async def _asked(self, key: str | None, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        node = self._nodes.owner(key)
        self._refuse_while_away(node)
        try:
            with store_failures():
                async with asyncio.timeout(self._budget_s):
                    if self._nodes.is_suspect(node):
                        await self._learn(self._nodes.others())
                        node = self._nodes.owner(key)
                    try:
                        return await ask(self._client(node))
                    except exceptions.MovedError:  # it was not run: sending it to its node is safe
                        await self._learn([node])
                        node = self._nodes.owner(key)
                        return await ask(self._client(node))
        except StoreUnavailable as failure:
            if nobody_answered(failure):
                self._nodes.suspect(node)
                self._closed_until[node] = time.monotonic() + self._fail_fast_s
            raise

    async def _learn(self, nodes: Iterable[str]) -> None:
        """Ask the first of ``nodes`` that answers who has which slots; without any, what we know must do."""
        for node in nodes:
            if time.monotonic() < self._closed_until.get(node, 0.0):
                continue
            try:
                self._nodes.learn(await self._client(node).execute_command(*CLUSTER_SLOTS), node)
            except (exceptions.ConnectionError, exceptions.TimeoutError, OSError):
                self._closed_until[node] = time.monotonic() + self._fail_fast_s
            else:
                return

    def _client(self, node: str) -> Any:
        client = self._clients.get(node)
        if client is None:
            pool = Connections.from_url(
                node,
                max_connections=self._connections,
                # With a timeout redis-py sends under asyncio.wait_for, which in 3.11 loses cancellations.
                socket_timeout=None,
                socket_connect_timeout=min(self._budget_s, CONNECT_WITHIN_S),
                retry=Retry(NoBackoff(), 0),
                retry_on_error=[],
                protocol=2,
            )
            client = self._clients[node] = redis.asyncio.Redis.from_pool(pool)
        return client

    def _refuse_while_away(self, node: str) -> None:
        if time.monotonic() < self._closed_until.get(node, 0.0):
            raise StoreUnavailable("the store did not answer a moment ago", SOON_S)


async def _run_script(client: Any, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
    try:
        return await client.execute_command(*script.by_sha1(keys, arguments))
    except exceptions.NoScriptError:  # it was not run: sending it again is safe
        return await client.execute_command(*script.in_full(keys, arguments))


async def _pipelined(client: Any, commands: Sequence[Command], *, raising: bool = True) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers: list[Any] = await pipeline.execute(raise_on_error=raising)
    return answers
