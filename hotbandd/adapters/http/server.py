"""Serving an application inside the event loop that is there, for as long as the caller wants it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from hotbandd.adapters.http import connections
from hotbandd.adapters.http.origin import OwnOrigin
from hotbandd.errors import SettingsError

GRACE_SEC: Final = 1
STOP_SEC: Final = 3.0


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, telling when it has started."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell so."""
        await super().startup(sockets)
        self._tell()


async def serve(
    app: ASGIApp, host: str, port: int, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled, then stop within STOP_SEC; the task's status is the URL, with the real port where it was 0.

    Requests under way get GRACE_SEC to end. Raises SettingsError where the address cannot be had.
    """
    listener = await _bind(host, port)
    url = _url(host, listener.getsockname()[1])
    server = _Server(_config(OwnOrigin(app, host)), lambda: task_status.started(url))
    scope = anyio.CancelScope(shield=True)
    ended = anyio.Event()

    async def run() -> None:
        with scope:
            await server.serve([listener])
        ended.set()

    with listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            try:
                await ended.wait()
            finally:
                server.should_exit = True
                scope.deadline = anyio.current_time() + STOP_SEC


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connections.Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=connections.BACKLOG,
        h11_max_incomplete_event_size=connections.HEAD_BYTES,
        timeout_keep_alive=connections.IDLE_SEC,
        timeout_graceful_shutdown=GRACE_SEC,
    )


async def _bind(host: str, port: int) -> socket.socket:
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        why = error.strerror or str(error)
        raise SettingsError(
            f"HOTBAND_HTTP: {host}:{port} cannot be listened on ({why}); free it, or set another address."
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
