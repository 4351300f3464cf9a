"""Which node of a Redis Cluster has a key. A server that is no cluster is the one node, and is asked nothing.

Nothing says beforehand that there is a cluster: the first MOVED does, and from then on the map is known. It is read
again, from whichever node answers, when a node says MOVED or does not answer, because another may have taken its slots.
A slot that is just being moved (ASK, TRYAGAIN) is away until it has arrived.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

Command = Sequence[str | bytes | int]

CLUSTER_SLOTS: Final = ("CLUSTER", "SLOTS")
_KEY_AT: Final = {"EVAL": 3, "EVALSHA": 3}
"""Where the first key of a command is, when not right after its name."""


def key_of(command: Command) -> str | None:
    """Return the first key of a command, None for one without keys."""
    at = command.index("STREAMS") + 1 if "STREAMS" in command else _KEY_AT.get(str(command[0]), 1)
    return str(command[at]) if at < len(command) else None


class Nodes:
    """The nodes as URLs, and whose slots are whose. Threads may share it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._owners: Sequence[str | None] = ()
        self._suspects: frozenset[str] = frozenset()

    def owner(self, key: str | None) -> str:
        """Return the node that has ``key``; the one we were given where that is not known."""
        owners = self._owners
        return (owners[key_slot(key.encode())] if owners and key is not None else None) or self._url

    def by_owner(self, keys: Iterable[str | None]) -> Mapping[str, list[int]]:
        """Return the places of ``keys`` by the node that has them."""
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(self.owner(key), []).append(place)
        return places

    def learn(self, slots: Sequence[Any], told_by: str) -> None:
        """Take over the answer to CLUSTER SLOTS. A node without a host's name is on the host of the one that told."""
        owners: list[str | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in slots:
            node = self._named(host.decode() if host else urlsplit(told_by).hostname or "", port)
            owners[first : last + 1] = [node] * (last + 1 - first)
        self._owners = owners
        self._suspects = frozenset()

    def suspect(self, node: str) -> None:
        """Remember that ``node`` did not answer: its slots may be another's by now."""
        if self._owners:
            self._suspects |= {node}

    def is_suspect(self, node: str) -> bool:
        """Say whether ``node`` did not answer since the map was read."""
        return node in self._suspects

    def others(self) -> list[str]:
        """Return the nodes that may know more, once each."""
        known = dict.fromkeys(node for node in [*self._owners, self._url] if node)
        return [node for node in known if node not in self._suspects]

    def _named(self, host: str, port: int) -> str:
        given = urlsplit(self._url)
        credentials, at, _ = given.netloc.rpartition("@")
        place = f"[{host}]" if ":" in host else host
        if given.scheme == "unix":
            return urlunsplit(("redis", f"{credentials}{at}{place}:{port}", "", given.query, ""))
        return urlunsplit(given._replace(netloc=f"{credentials}{at}{place}:{port}"))
