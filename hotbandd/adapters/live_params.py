"""``config/live_params.yaml``: read again once it has changed."""

from __future__ import annotations

from collections.abc import Collection
from os import stat_result
from pathlib import Path

import anyio.to_thread

from hotbandd.adapters import yaml_text
from hotbandd.core import live_params
from hotbandd.core.live_params import FILE, Overlays
from hotbandd.errors import InputError, ParamsError


class FixedParams:
    """Parameters that never change."""

    def __init__(self, overlays: Overlays | None = None) -> None:
        self._overlays = overlays or {}

    async def read(self) -> Overlays:
        """Return them."""
        return self._overlays


class FileParams:
    """Parameters of the file below a home; without a file there are none."""

    def __init__(self, home: Path, strategies: Collection[str]) -> None:
        self._path = home / FILE
        self._strategies = strategies
        self._seen: object = None
        self._overlays: Overlays = {}

    async def read(self) -> Overlays:
        """Return the parameters of each instrument; raises InputError with the file, the line and the reason."""
        return await anyio.to_thread.run_sync(self._read)

    def _read(self) -> Overlays:
        seen = _marks(self._path)
        if seen != self._seen:
            self._overlays = {} if seen is None else _parsed(self._path, self._strategies)
            self._seen = seen
        return self._overlays


def _marks(path: Path) -> object:
    """Return what tells one state of a file from another; None where there is no file."""
    try:
        found: stat_result = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _parsed(path: Path, strategies: Collection[str]) -> Overlays:
    try:
        with path.open("rb") as file:
            data = file.read(yaml_text.LONGEST + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    try:
        return live_params.parse(yaml_text.load(data), strategies)
    except ParamsError as fault:
        raise InputError(f"{path}, line {yaml_text.line_of(data, fault.path)}: {fault}") from fault
    except InputError as error:
        raise InputError(f"{path}, {str(error).removesuffix('.')}, or put the .bak back.") from error
