"""Files that people and other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Artifacts(Protocol):
    """Files below one folder, named relative to it.

    Raises UsageError where a file cannot be written or read; what was there before stays as it was.
    """

    async def write(self, name: Path, content: bytes) -> Path:
        """Write a file whole or not at all; return where it lies."""
        ...

    async def read(self, name: Path) -> bytes | None:
        """Return a file's content; None where there is no such file."""
        ...

    async def write_together(self, contents: dict[Path, bytes]) -> list[Path]:
        """Write several files, or, where one of them cannot be written, none."""
        ...

    async def names(self, pattern: str) -> list[Path]:
        """Return the names of the files that a pattern such as ``output/**/*.json`` fits, ascending."""
        ...

    async def remove(self, name: Path) -> None:
        """Remove a file; one that is not there is no fault."""
        ...
