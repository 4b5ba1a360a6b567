"""What runs on a worker of Dask's. The scheduler imports this module, too."""

from __future__ import annotations

import pickle
import platform
import traceback
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal, NamedTuple

PACKAGES: Final = ("hotband", "numpy", "scipy")

Versions = dict[str, str]


class Answer(NamedTuple):
    """What became of a call: its value or its error, pickled; ``other``: the versions of a worker that is not as it should be."""

    kind: Literal["value", "error", "unreadable", "other"]
    content: bytes


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    return (("Python", platform.python_version()), *((name, _version(name)) for name in PACKAGES))


def versions() -> Versions:
    """Return the versions here of all that a result depends on."""
    return dict(_versions())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def packed(value: object) -> bytes:
    """Pickle by Python's own means, which know functions by their names alone: nothing but modules of the installation runs."""
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(content: bytes) -> Any:
    """Return what was packed."""
    # From who computes here: whoever reaches a scheduler may run anything on its workers anyhow.
    return pickle.loads(content)  # noqa: S301  # nosec B301


def answer(wanted: Versions, call: bytes, *shared: bytes) -> Answer:
    """Run a packed (function, args, kwargs) on packed values that come before its arguments, unless the versions here are others."""
    if versions() != wanted:
        return Answer("other", packed(versions()))
    try:
        function, args, kwargs = unpacked(call)
        values = [unpacked(one) for one in shared]
    except Exception as error:  # noqa: BLE001  whatever an import runs into
        return Answer("unreadable", packed(f"{type(error).__name__}: {error}"))
    return _run(function, (*values, *args), kwargs)


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answer:
    try:
        return Answer("value", packed(function(*args, **kwargs)))
    except Exception as error:  # noqa: BLE001  raised again where the call was made
        error.add_note(f"On a worker:\n{traceback.format_exc()}")
        return Answer("error", packed(error))
