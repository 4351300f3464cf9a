"""A network between a client and a server that a test may slow down, cut and break."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from tests.running_service import free_port

_CHUNK: Final = 65_536


class Network:
    """Passes TCP connections on a loopback port to a Unix socket, in a thread of its own.

    Cut, it holds all bytes back, as routers do that drop packets: what was sent meanwhile arrives after :meth:`heal`.
    """

    def __init__(self, socket_path: str) -> None:
        self.port = free_port()
        self._socket_path = socket_path
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._delay_s = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._connected, "127.0.0.1", self.port), self._loop
        ).result(5.0)

    def cut(self) -> None:
        """Hold all bytes back, in both directions."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    def delay(self, seconds: float) -> None:
        """Let every piece of data arrive this much later."""
        self._delay_s = seconds

    def reset(self) -> None:
        """Break every connection, without a farewell."""
        self._loop.call_soon_threadsafe(self._abort)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._socket_path)
        except OSError:  # the server is down
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = self._loop.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await asyncio.sleep(self._delay_s)
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.transport.abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        self._abort()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


@contextlib.contextmanager
def network_to(unix_url: str) -> Iterator[Network]:
    """Give a network to the server at a unix:// URL."""
    network = Network(unix_url.removeprefix("unix://"))
    network.start()
    try:
        yield network
    finally:
        network.close()
