"""A Redis Cluster of real servers on this machine, for tests: primaries only, each with a third of the slots."""

import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from app.store.keys import Keys
from tests.running_service import free_port
from tests.store.stored import until

NODE_TIMEOUT_MS = 500
"""How long the others take to notice that a node is gone."""


class ClusterNode:
    """One primary, which may be killed and started again on its data."""

    def __init__(self, program: Path, folder: Path, slots: range) -> None:
        self.slots = slots
        self.port, self.bus_port = free_port(), free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._client: Any = redis.Redis(port=self.port, protocol=2)
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "logfile": folder / "log",
            "cluster-enabled": "yes",
            "cluster-port": self.bus_port,
            "cluster-node-timeout": NODE_TIMEOUT_MS,
            "cluster-require-full-coverage": "no",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        self._command = [
            str(program),
            *(str(word) for name, value in settings.items() for word in (f"--{name}", value)),
        ]

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until(self.answers)

    def kill(self) -> None:
        """Power off: SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False

    def run(self, *command: Any) -> Any:
        return self._client.execute_command(*command)

    def id(self) -> str:
        return str(self.run("CLUSTER", "MYID").decode())

    def close(self) -> None:
        self._client.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()


class Cluster:
    """Primaries that have met; ``url`` is that of the first."""

    def __init__(self, program: Path, folder: Path, primaries: int = 3) -> None:
        cuts = [REDIS_CLUSTER_HASH_SLOTS * number // primaries for number in range(primaries + 1)]
        self.nodes = []
        try:
            for number, (first, end) in enumerate(pairwise(cuts)):
                home = folder / str(number)
                home.mkdir()
                node = ClusterNode(program, home, range(first, end))
                self.nodes.append(node)
                node.start()
                node.run("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            for node in self.nodes[1:]:
                self.nodes[0].run("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
            until(self.whole)
        except BaseException:
            self.close()
            raise
        self.url = self.nodes[0].url

    def whole(self) -> bool:
        """Say whether every node knows who has every slot, and that they are there."""
        infos = [node.run("CLUSTER", "INFO") for node in self.nodes]
        nodes = f"cluster_known_nodes:{len(self.nodes)}".encode()
        signs = (b"cluster_state:ok", b"cluster_slots_ok:16384", nodes)
        return all(sign in info for sign in signs for info in infos)

    def primary_of(self, shard: int, keys: Keys) -> ClusterNode:
        slot = key_slot(keys.queue(shard).encode())
        return next(node for node in self.nodes if slot in node.slots)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
