"""Grids of parameters to try: the lists of a spec multiply out, counted and walked without being built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from itertools import product
from math import prod
from reprlib import repr as shown
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from hotbandd.core.documents import Params
from hotbandd.core.live_params import checked
from hotbandd.core.thresholds import parse_threshold
from hotbandd.errors import ParamsError, UsageError
from hotbandd.settings import instrument

Value = float | str | None
Axes = Mapping[str, tuple[Value, ...]]  # by parameter, the values to try

DEFAULT_WINDOW_DAYS: Final = 90

_WINDOW_DAYS: Final = Annotated[int, msgspec.Meta(ge=1, le=3650)]
_PARTS: Final = ("window_days", "defaults", "instruments")
_ENTRY: Final = ("instrument", "overrides")
_PARAMETERS: Final = tuple(sorted(Params.__struct_fields__))


class Grid(NamedTuple):
    """What to try on one instrument: each parameter that the spec names, in alphabetical order, with its values."""

    axes: Axes


@dataclass(frozen=True)
class Spec:
    """What to try: over how many days each run goes, and the grid of each instrument in the order of the document."""

    window_days: int
    instruments: Mapping[str, Grid]


def parse(document: Any, strategies: Collection[str]) -> Spec:
    """Return the spec that a document describes.

    Form: ``window_days: 90``, ``defaults: {c_min: 0.5, …}``, ``instruments: [{instrument: EUR_USD, overrides: {c_min: [0.45, 0.55], …}}, …]``;
    overrides stand before defaults, a value alone is a list of one. Raises ParamsError.
    """
    whole = _mapping((), document)
    _all_known((), whole, _PARTS)
    window_days = _window_days(whole.get("window_days", DEFAULT_WINDOW_DAYS))
    defaults = _axes(("defaults",), whole.get("defaults"), strategies)
    grids: dict[str, Grid] = {}
    for i, entry in enumerate(_entries(whole.get("instruments"))):
        path = ("instruments", str(i))
        name = _instrument(path, entry)
        if name in grids:
            raise ParamsError((*path, "instrument"), f"names {name} a second time.")
        overrides = _axes((*path, "overrides"), entry.get("overrides"), strategies)
        grids[name] = Grid(dict(sorted({**defaults, **overrides}.items())))
    return Spec(window_days=window_days, instruments=grids)


def count(spec: Spec) -> int:
    """Return the number of combinations over all instruments."""
    return sum(prod(len(values) for values in grid.axes.values()) for grid in spec.instruments.values())


def combinations(spec: Spec, instrument: str, base: Params) -> Iterator[Params]:
    """Iterate over the parameters to try on an instrument: those in force, and the points of its grid laid over them.

    The values of the alphabetically last parameter change fastest. Raises KeyError for an instrument that is not in the spec.
    """
    axes = sorted(spec.instruments[instrument].axes.items())
    names = [name for name, _ in axes]
    points = product(*(values for _, values in axes))
    return (msgspec.structs.replace(base, **dict(zip(names, point, strict=True))) for point in points)


def spec_hash(spec: Spec) -> str:
    """Return 12 hex digits that tell specs apart; the order of instruments and parameters does not count, that of values does."""
    grids = {name: grid.axes for name, grid in spec.instruments.items()}
    canonical = {"window_days": spec.window_days, "instruments": grids}
    return sha256(msgspec.json.encode(canonical, order="deterministic")).hexdigest()[:12]


def _window_days(value: Any) -> int:
    try:
        days: int = msgspec.convert(value, _WINDOW_DAYS)
    except msgspec.ValidationError as error:
        raise _impossible(("window_days",), value, error) from error
    return days


def _entries(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ParamsError(("instruments",), "must list at least one entry such as {instrument: EUR_USD}.")
    return value


def _instrument(path: tuple[str, ...], entry: Any) -> str:
    entry = _mapping(path, entry)
    _all_known(path, entry, _ENTRY)
    if "instrument" not in entry:
        raise ParamsError(path, "needs an instrument.")
    name = entry["instrument"]
    try:
        return instrument(str(name))
    except UsageError as error:
        raise ParamsError((*path, "instrument"), f"cannot be {shown(name)}; write one such as EUR_USD.") from error


def _axes(path: tuple[str, ...], given: Any, strategies: Collection[str]) -> Axes:
    if given is None:
        return {}
    axes = _mapping(path, given)
    _all_known(path, axes, _PARAMETERS)
    return {name: _axis((*path, name), name, value, strategies) for name, value in axes.items()}


def _axis(path: tuple[str, ...], name: str, given: Any, strategies: Collection[str]) -> tuple[Value, ...]:
    if not isinstance(given, list):
        return (_value(path, name, given, strategies),)
    if not given:
        raise ParamsError(path, "holds no value.")
    values: dict[Value, None] = {}
    for i, one in enumerate(given):
        value = _value((*path, str(i)), name, one, strategies)
        if value in values:
            raise ParamsError((*path, str(i)), f"repeats {shown(value)}.")
        values[value] = None
    return tuple(values)


def _value(path: tuple[str, ...], name: str, given: Any, strategies: Collection[str]) -> Value:
    try:
        value: Value = checked(name, given)
        if name == "c_min" and isinstance(value, str):
            value = parse_threshold(value)
    except (msgspec.ValidationError, UsageError) as error:
        raise _impossible(path, given, error) from error
    if name == "strategy" and value not in strategies:
        raise ParamsError(path, f"cannot be {shown(given)}; take one of {', '.join(sorted(strategies))}.")
    return value + 0.0 if isinstance(value, float) else value  # -0.0 is 0.0, and must have the same hash


def _impossible(path: tuple[str, ...], given: Any, error: Exception) -> ParamsError:
    reason = str(error).partition(" - at")[0].rstrip(".")
    return ParamsError(path, f"cannot be {shown(given)}: {reason}.")


def _all_known(path: tuple[str, ...], names: Iterable[Any], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(str(name).lower(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
            raise ParamsError((*path, str(name)), f"is not known here; {hint}")


def _mapping(path: tuple[str, ...], value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ParamsError(path, "must hold names with values.")
    return value
