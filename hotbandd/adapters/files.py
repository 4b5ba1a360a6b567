"""Files, written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio.to_thread

from hotbandd.errors import UsageError


class FolderArtifacts:
    """The Artifacts port over a folder."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def write(self, name: Path, content: bytes) -> Path:
        """Write a file whole or not at all; return where it lies."""
        return (await self.write_together({name: content}))[0]

    async def write_together(self, contents: dict[Path, bytes]) -> list[Path]:
        """Write several files, or, where one of them cannot be written, none."""
        placed = {self._home / name: content for name, content in contents.items()}
        await anyio.to_thread.run_sync(write_all, placed)
        return list(placed)

    async def read(self, name: Path) -> bytes | None:
        """Return a file's content; None where there is no such file."""
        path = self._home / name
        try:
            return await anyio.to_thread.run_sync(path.read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror}); check its rights.") from error

    async def names(self, pattern: str) -> list[Path]:
        """Return the names of the files that a pattern such as ``output/**/*.json`` fits, ascending."""
        found = await anyio.to_thread.run_sync(lambda: sorted(self._home.glob(pattern)))
        return [path.relative_to(self._home) for path in found if path.is_file()]

    async def remove(self, name: Path) -> None:
        """Remove a file; one that is not there is no fault."""
        path = self._home / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{path} cannot be removed ({error.strerror}); check the rights of its folder.") from error


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file's content; a full disk or a crash leaves the old content. Raises UsageError where it cannot be written."""
    write_all({path: content})


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Replace the content of several files; all are on the disk before the first takes its place. Raises UsageError."""
    with _named(next(iter(contents))):
        temporaries: dict[Path, Path] = {}
        try:
            for path, content in contents.items():
                with _named(path):
                    if path.is_dir():
                        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                    temporaries[path] = _temporary(path, content)
            for path, temporary in temporaries.items():
                with _named(path):
                    temporary.replace(path)
        except UsageError:
            for temporary in temporaries.values():
                temporary.unlink(missing_ok=True)
            raise
        for folder in {path.parent for path in contents}:
            _sync_folder(folder)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file could not be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def _temporary(path: Path, content: bytes) -> Path:
    """Write content beside the place that it is to take."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _as_before(path, file.fileno())
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _as_before(path: Path, handle: int) -> None:
    """Give a file the rights and, where that is allowed, the owner of the one whose place it takes: others may have to read it."""
    if not path.exists():
        return
    before = path.stat()
    os.fchmod(handle, stat.S_IMODE(before.st_mode))
    with suppress(PermissionError):
        os.fchown(handle, before.st_uid, before.st_gid)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
