"""Valkey behind TLS: the server that tests run has none built in, so that Python's own terminates it in front."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import trustme

from tests.valkey import PASSWORD


class Authority(NamedTuple):
    """An issuer of certificates, and the file that says so."""

    ca: trustme.CA
    file: Path


def authority(folder: Path, name: str) -> Authority:
    """Make an issuer."""
    ca, file = trustme.CA(), folder / f"{name}.pem"
    ca.cert_pem.write_to_path(str(file))
    return Authority(ca, file)


def server_side(issuer: Authority, name: str = "localhost", until: datetime | None = None) -> ssl.SSLContext:
    """Return a server's side of TLS, with a certificate for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = (
        issuer.ca.issue_cert(name)
        if until is None
        else issuer.ca.issue_cert(name, not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=until)
    )
    issued.configure_cert(context)
    return context


@asynccontextmanager
async def behind(socket: str, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Pass connections on to a server's socket; yield the port. Without a context it is all in plain."""
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while part := await reader.read(65_536):
                    writer.write(part)
                    await writer.drain()
        finally:
            writer.close()
            writers.append(writer)

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(socket)
        for pair in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(pump(*pair))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(passed, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


def url(port: int, query: str, host: str = "localhost") -> str:
    """Return the URL of hotband's user there."""
    return f"rediss://hotband:{PASSWORD}@{host}:{port}/0{query}"
