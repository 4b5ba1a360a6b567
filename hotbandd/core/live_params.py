"""Parameters in force: an instrument's entry in ``config/live_params.yaml`` lies over those of the settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isfinite
from reprlib import repr as shown
from typing import Any, Final

import msgspec

from hotbandd.core.documents import Params
from hotbandd.core.thresholds import parse_threshold
from hotbandd.errors import ParamsError, UsageError
from hotbandd.settings import instrument

FILE: Final = "config/live_params.yaml"
Overlays = Mapping[str, Mapping[str, Any]]  # by instrument, parameters by name

_PARTS: Final = ("instruments", "global")
_SAMPLE: Final = Params(c_min=0.0, direction_lookback=1, dir_threshold_bps=0.0)
_KNOWN: Final = frozenset(Params.__struct_fields__)


def parse(document: Any, strategies: Collection[str]) -> Overlays:
    """Return the parameters of each instrument.

    Form: ``instruments: {EUR_USD: {params: {c_min: 0.6}, …}, …}``, ``global`` beside it; what else an entry holds is not read.
    Raises ParamsError.
    """
    if document is None:
        return {}
    whole = _mapping((), document)
    for name in whole:
        if name not in _PARTS:
            raise ParamsError((str(name),), f"is not known here; there are {' and '.join(_PARTS)}.")
    entries = _mapping(("instruments",), whole.get("instruments") or {})
    return {
        _instrument(name): _params(("instruments", str(name)), entry, strategies) for name, entry in entries.items()
    }


def overlay(base: Params, entry: Mapping[str, Any]) -> Params:
    """Return parameters with those of an entry laid over them."""
    return msgspec.convert({**msgspec.structs.asdict(base), **entry}, Params)


def checked(name: str, value: Any) -> Any:
    """Return the value that a parameter takes. Raises msgspec.ValidationError."""
    found = getattr(overlay(_SAMPLE, {name: value}), name)
    if isinstance(found, float) and not isfinite(found):
        raise msgspec.ValidationError("Expected a finite number")
    if name == "c_min" and not isinstance(found, str) and not 0 <= found <= 1:
        raise msgspec.ValidationError("Expected a number from 0 to 1, or a percentile")
    return found


def _instrument(name: Any) -> str:
    try:
        return instrument(str(name))
    except UsageError as error:
        raise ParamsError(("instruments", str(name)), f"is no instrument: {error}") from error


def _params(path: tuple[str, ...], entry: Any, strategies: Collection[str]) -> Mapping[str, Any]:
    path = (*path, "params")
    given = _mapping(path[:-1], entry).get("params")
    if given is None:
        raise ParamsError(path[:-1], "needs params.")
    values = _mapping(path, given)
    for name, value in values.items():
        if name not in _KNOWN:
            raise ParamsError((*path, str(name)), f"is no parameter; there are {', '.join(sorted(_KNOWN))}.")
        _check((*path, name), name, value, strategies)
    return dict(values)


def _check(path: tuple[str, ...], name: str, value: Any, strategies: Collection[str]) -> None:
    try:
        checked(name, value)
        if name == "c_min" and isinstance(value, str):
            parse_threshold(value)
    except (msgspec.ValidationError, UsageError) as error:
        raise ParamsError(path, f"cannot be {shown(value)}: {str(error).partition(' - at')[0]}.") from error
    if name == "strategy" and value not in strategies:
        raise ParamsError(path, f"cannot be {shown(value)}; take one of {', '.join(sorted(strategies))}.")


def _mapping(path: tuple[str, ...], value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ParamsError(path, "must hold names with values.")
    return value
