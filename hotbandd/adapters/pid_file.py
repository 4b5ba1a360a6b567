"""The process number of the daemon of a home, for the commands that signal it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hotbandd.errors import UsageError


def _path(home: Path) -> Path:
    return home.absolute() / "data" / "hotbandd.pid"


@contextmanager
def pid_file(home: Path) -> Iterator[None]:
    """Hold the process number in a locked file while the daemon runs. Raises UsageError where one runs already, or nothing can be written."""
    path = _path(home)
    with _writable(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"A daemon runs in {home.absolute()} already; stop it, or set HOTBAND_HOME.") from None
        with _writable(path):
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}); make room, or set HOTBAND_HOME to a folder of yours."
        ) from error


def running_pid(home: Path) -> int | None:
    """Return the process number of the daemon that runs in a home, or None."""
    try:
        handle = os.open(_path(home), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(handle, 32) or b"0") or None
    else:
        return None
    finally:
        os.close(handle)
