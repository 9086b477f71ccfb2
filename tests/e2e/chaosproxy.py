"""A TCP proxy that delays, and cuts connections in the middle of what they carry."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType

CHUNK = 16 * 1024
LONGEST_DELAY = 0.02


class _Relay:
    """One connection through the proxy."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._writers: list[asyncio.StreamWriter] = []
        self.doomed = False

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        """Relay until one side ends, or the connection is cut."""
        self._writers.append(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            self._writers.append(far_writer)
            pumps = [
                asyncio.create_task(self._pump(reader, far_writer)),
                asyncio.create_task(self._pump(far_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass
        finally:
            self.cut()

    def cut(self) -> None:
        """Break it on both sides, at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                if self._chance.random() < 0.3:
                    await asyncio.sleep(self._chance.random() * LONGEST_DELAY)
                if self.doomed:
                    writer.write(data[: self._chance.randrange(len(data))])
                    await asyncio.sleep(0)
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            pass


class ChaosProxy:
    """`async with ChaosProxy(port, seed) as proxy`: listens on `proxy.port`, and leads to `port`."""

    def __init__(self, port: int, seed: int) -> None:
        self._target = port
        self._chance = random.Random(seed)
        self._relays: dict[_Relay, None] = {}
        self.cuts = 0
        """Connections that were cut on purpose so far."""

    async def __aenter__(self) -> ChaosProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for relay in self._relays:
            relay.cut()
        while self._relays:
            await asyncio.sleep(0.01)

    async def cut_one(self) -> None:
        """Cut a connection, chosen by chance: within the next bytes that it carries, or soon in any case."""
        waiting = [relay for relay in self._relays if not relay.doomed]
        if not waiting:
            return
        relay = self._chance.choice(waiting)
        relay.doomed = True
        self.cuts += 1
        await asyncio.sleep(0.05)
        relay.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = _Relay(random.Random(self._chance.random()))
        self._relays[relay] = None
        try:
            await relay.run(reader, writer, self._target)
        finally:
            del self._relays[relay]
