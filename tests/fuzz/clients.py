"""Clients that a server should not have: many, slow, silent, half-closed, or talking nonsense."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from contextlib import suppress

TAKE_SEC = 40.0


def many_descriptors() -> None:
    """Let this process have as many sockets as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Client:
    """One connection, spoken to in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> bool:
        """Send; tell whether the other side still took it."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            return False
        return True

    async def rest(self) -> bytes:
        """Return all that comes until the other side ends the connection; fail where it does not."""
        taken = bytearray()
        async with asyncio.timeout(TAKE_SEC):
            with suppress(OSError):
                while part := await self.reader.read(65_536):
                    taken += part
        return bytes(taken)

    async def close(self) -> None:
        """Go away."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def opened(port: int, count: int = 1, first: bytes = b"") -> list[Client]:
    """Open connections, all at once, and send the same on each; those that are refused are left out."""

    async def one() -> Client | None:
        try:
            client = Client(*await asyncio.open_connection("127.0.0.1", port))
        except OSError:
            return None
        await client.send(first)
        return client

    return [client for client in await asyncio.gather(*(one() for _ in range(count))) if client is not None]


async def closed(clients: Sequence[Client]) -> None:
    """Let all go away."""
    await asyncio.gather(*(client.close() for client in clients))
