"""Connections of asyncio to one node, each lent to one command at a time."""

import asyncio
from typing import Any

import redis.asyncio


class Connections(redis.asyncio.ConnectionPool):
    """At most ``max_connections``; who finds none free waits, within the caller's own budget.

    redis-py's blocking pool does the same under two locks and a timer of its own, and tells its telemetry of each loan:
    that takes as long as the command.
    """

    def __init__(self, *, max_connections: int, **options: Any) -> None:
        super().__init__(max_connections=max_connections, **options)
        self._free = asyncio.Semaphore(max_connections)

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Return a connection that is open and has nothing left to read, opening it where it is not."""
        del command_name, keys, options
        await self._free.acquire()
        try:
            connection: Any = super().get_available_connection()  # type: ignore[no-untyped-call]
        except BaseException:
            self._free.release()
            raise
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        """Take a connection back."""
        try:
            if connection.should_reconnect():
                await connection.disconnect()
        finally:
            self._in_use_connections.remove(connection)
            self._available_connections.append(connection)
            self._free.release()
