"""How commands of threads reach the server, or the node of a cluster that has their key; see links.py."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.service.ports import StoreUnavailable
from app.store.failures import nobody_answered, store_failures
from app.store.links import CONNECT_WITHIN_S
from app.store.lua import Script
from app.store.nodes import CLUSTER_SLOTS, Nodes, key_of

WORKER_ANSWER_WITHIN_S: Final = 5.0
"""Budget of a command of a worker, which has nobody waiting and can sit out a slow disk."""


class BlockingLink:
    """Commands from threads. Every method raises StoreUnavailable and nothing else. ``connections`` is per node."""

    def __init__(self, url: str, *, connections: int, budget_s: float = WORKER_ANSWER_WITHIN_S) -> None:
        self._nodes = Nodes(url)
        self._connections = connections
        self._budget_s = budget_s
        self._clients: dict[str, Any] = {}  # redis-py's execute_command has no types
        self._making = threading.Lock()

    def run(self, *command: str | bytes | int) -> Any:
        """Return the answer to one command."""
        return self._asked(key_of(command), lambda client: client.execute_command(*command))

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
        """Return the answer of a script."""
        return self._asked(keys[0], lambda client: _run_script(client, script, keys, arguments))

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def _asked(self, key: str | None, ask: Callable[[Any], Any]) -> Any:
        node = self._nodes.owner(key)
        try:
            with store_failures():
                if self._nodes.is_suspect(node):
                    self._learn(self._nodes.others())
                    node = self._nodes.owner(key)
                try:
                    return ask(self._client(node))
                except exceptions.MovedError:  # it was not run: sending it to its node is safe
                    self._learn([node])
                    node = self._nodes.owner(key)
                    return ask(self._client(node))
        except StoreUnavailable as failure:
            if nobody_answered(failure):
                self._nodes.suspect(node)
            raise

    def _learn(self, nodes: Iterable[str]) -> None:
        """Ask the first of ``nodes`` that answers who has which slots; without any, what we know must do."""
        for node in nodes:
            try:
                self._nodes.learn(self._client(node).execute_command(*CLUSTER_SLOTS), node)
            except (exceptions.ConnectionError, exceptions.TimeoutError, OSError):
                self._nodes.suspect(node)
            else:
                return

    def _client(self, node: str) -> Any:
        with self._making:
            client = self._clients.get(node)
            if client is None:
                pool = redis.BlockingConnectionPool.from_url(
                    node,
                    max_connections=self._connections,
                    timeout=self._budget_s,
                    socket_timeout=self._budget_s,
                    socket_connect_timeout=min(self._budget_s, CONNECT_WITHIN_S),
                    retry=Retry(NoBackoff(), 0),
                    retry_on_error=[],
                    protocol=2,
                )
                client = self._clients[node] = redis.Redis.from_pool(pool)
            return client


def _run_script(client: Any, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
    try:
        return client.execute_command(*script.by_sha1(keys, arguments))
    except exceptions.NoScriptError:  # it was not run: sending it again is safe
        return client.execute_command(*script.in_full(keys, arguments))
