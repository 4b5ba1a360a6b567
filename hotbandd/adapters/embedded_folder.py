"""The folder that an embedded server keeps its data in: who owns it, who writes there, where its socket is."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hotbandd.errors import StoreUnreachableError

SOCKET_BYTES = 103  # the least that a platform's sun_path holds (macOS; Linux 107)


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
