"""A proxy between a client and a server that does to their bytes what networks do: late, cut, swallowed, reset, gone without a word."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PIECE = 65_536
RESET = struct.pack("ii", 1, 0)  # close at once, with RST


@dataclass
class Weather:
    """What happens to bytes from now on. Plain weather passes them on.

    ``delay``: seconds before a piece of a reply is passed on. ``black_hole``: bytes are taken and go nowhere, connections stay open, and
    new ones are accepted; those that were in a hole never come out of it. ``cut_after``: so many more bytes of a connection's replies are
    passed on, then it is closed, or ``reset``. ``swallow``: drops a piece of a reply if it says so, and whatever follows.
    """

    delay: Callable[[], float] = lambda: 0.0
    black_hole: bool = False
    cut_after: Callable[[], int | None] = lambda: None
    reset: bool = False
    swallow: Callable[[], bool] = lambda: False


@dataclass(eq=False)
class _Line:
    """One connection of a client, and the one to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    left: int | None = None
    deaf: bool = False


class Proxy:
    """Listens at ``url`` (a Unix socket, or a free TCP port) for what is to reach a Unix socket."""

    def __init__(self, target: Path) -> None:
        self.weather = Weather()
        self.url = ""
        self._target = target
        self._lines: set[_Line] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """Number of connections that are open."""
        return len(self._lines)

    def drop(self, *, reset: bool = False) -> None:
        """Close every connection."""
        for line in tuple(self._lines):
            self._close(line, reset=reset)

    async def end(self) -> None:
        """Close every connection, and wait until all is gone."""
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(str(self._target))
        except OSError:
            writer.transport.abort()
            return
        line = _Line(writer, server_writer, self.weather.cut_after())
        self._lines.add(line)
        ways = [asyncio.create_task(self._up(line, reader)), asyncio.create_task(self._down(line, server_reader))]
        self._tasks.update(ways)
        await asyncio.wait(ways)
        self._tasks.difference_update(ways)
        for end in (server_writer, writer):
            with suppress(OSError):
                await end.wait_closed()

    async def _up(self, line: _Line, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                line.deaf = line.deaf or self.weather.black_hole
                if not line.deaf:
                    line.server.write(piece)
                    await line.server.drain()
        self._close(line)

    async def _down(self, line: _Line, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                weather = self.weather
                if (late := weather.delay()) > 0:
                    await asyncio.sleep(late)
                line.deaf = line.deaf or self.weather.black_hole or weather.swallow()
                if line.deaf:
                    continue
                if line.left is None:
                    line.left = weather.cut_after()
                if line.left is not None and len(piece) >= line.left:
                    line.client.write(piece[: line.left])
                    self._close(line, reset=weather.reset)
                    return
                line.left = None if line.left is None else line.left - len(piece)
                line.client.write(piece)
                await line.client.drain()
        if not line.deaf:  # of a connection in a hole the client hears nothing, not even its end
            self._close(line)

    def _close(self, line: _Line, *, reset: bool = False) -> None:
        self._lines.discard(line)
        line.server.transport.abort()
        end = line.client.get_extra_info("socket")
        if reset and end is not None and end.family != socket.AF_UNIX:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        line.client.transport.abort() if reset else line.client.close()


@asynccontextmanager
async def proxy(target: Path, at: Path | None = None) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a server, at a Unix socket, or at a TCP port of this machine."""
    made = Proxy(target)
    if at is not None:
        server = await asyncio.start_unix_server(made.accept, str(at))
        made.url = f"unix://{at}"
    else:
        server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
        made.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield made
    finally:
        server.close()
        await made.end()
