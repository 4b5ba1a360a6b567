"""``config/live_params.yaml``: read again once it has changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import StringIO
from os import stat_result
from pathlib import Path
from typing import Any

import anyio.to_thread
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

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
        document = YAML(typ="rt", pure=True).load(StringIO(path.read_text()))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text (byte {error.start}); write it anew.") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(
            f"{path}, line {line}: it is not YAML ({error.problem}); mend it, or put the .bak back."
        ) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{path} is not YAML ({error}); mend it, or put the .bak back.") from error
    try:
        return live_params.parse(_plain(document), strategies)
    except ParamsError as fault:
        raise InputError(f"{path}, line {_line(document, fault.path)}: {fault}") from fault


def _line(document: Any, path: tuple[str, ...]) -> int:
    """Return the line of a key, counted from 1."""
    line = 1
    for key in path:
        if not isinstance(document, CommentedMap) or key not in document:
            break
        line = document.lc.key(key)[0] + 1
        document = document[key]
    return line


def _plain(value: Any) -> Any:
    """Return built-in types for those that remember their comments."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
