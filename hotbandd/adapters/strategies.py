"""Strategies that other distributions bring in, through the entry-point group ``hotband.strategies``."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from hotbandd.core import strategy
from hotbandd.core.strategy import Direction
from hotbandd.errors import SettingsError, UsageError

GROUP = "hotband.strategies"


@lru_cache(maxsize=1)
def rules() -> Mapping[str, Direction]:
    """Return the built-in rules and those found, each of them checked.

    Raises SettingsError for one that cannot be loaded, has a name that is taken or malformed, looks ahead, or answers otherwise
    than with a side per candle.
    """
    found: dict[str, Direction] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        if point.name in found:
            raise SettingsError(f"Two distributions bring a strategy {point.name!r}; uninstall one of them.")
        found[point.name] = _loaded(point)
    try:
        return strategy.accept(found)
    except UsageError as error:
        raise SettingsError(f"{error} It comes from the entry-point group {GROUP}.") from error


def _loaded(point: EntryPoint) -> Direction:
    """Load a rule, and see that it can be handed to a worker."""
    try:
        rule: Direction = point.load()
        pickle.dumps(rule)
    except Exception as error:
        raise SettingsError(
            f"The strategy {point.name!r} ({point.value}) cannot be loaded: {error!r}; "
            f"it must be a function at the top of its module."
        ) from error
    return rule
