"""Entry bounds as they stand at the newest candle: numbers as they are, percentiles resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Floats, Ints
from hotbandd.core.manifold_documents import Bounds
from hotbandd.core.series import MetricColumns, Series
from hotbandd.core.thresholds import PERCENTILE_DAYS, Threshold, threshold


@dataclass(frozen=True)
class EntryBounds:
    """Bounds on coherence, stability, entropy, rupture and hazard; each a number or ``pNN``."""

    c_min: Threshold
    s_min: Threshold
    h_max: Threshold
    r_max: Threshold
    hazard_max: Threshold

    @property
    def all(self) -> tuple[Threshold, ...]:
        """The bounds, in the order of the metrics."""
        return self.c_min, self.s_min, self.h_max, self.r_max, self.hazard_max

    @property
    def relative(self) -> bool:
        """Whether a bound is a percentile of the instrument's own past."""
        return any(isinstance(spec, str) for spec in self.all)

    def newest_of(self, series: Series, stop: int) -> tuple[Ints, MetricColumns]:
        """Return what ``at_newest`` needs of the candles before an index: open times and metrics of the newest one, or of a month."""
        first = max(0, stop - 1)
        if self.relative and stop:
            first = max(0, series.rank(_begins(series.opened(stop - 1)), "right") - 1)
        part = slice(first, stop)
        return series.take(part).t, series.measures(part)

    def at_newest(self, t: Ints, metrics: MetricColumns) -> Bounds:
        """Return the bounds in force at the newest candle; NaN, which nothing meets, where too little is known."""
        return Bounds(*(_newest(spec, t, values) for spec, values in zip(self.all, metrics, strict=True)))


class DailyBounds:
    """Entry bounds of instruments at their newest candles; a percentile, which looks back over a month, is worked out once a day.

    Anew also where the past changed: its candles, how much of it is measured, or whether it reaches back far enough.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[_Past, Bounds]] = {}

    def newest(self, specs: EntryBounds, pair: str, series: Series, stop: int) -> Bounds:
        """Return the bounds in force at the last of an instrument's candles before an index; NaN where too little is known."""
        if not (specs.relative and stop):
            return specs.at_newest(*specs.newest_of(series, stop))
        newest = series.opened(stop - 1)
        day = _midnight(newest)
        past = _Past(specs, day, series.revision, series.opened(0) <= _begins(newest))
        known = self._found.get(pair)
        if known is not None and known[0] == past:
            return known[1]
        found = specs.at_newest(*specs.newest_of(series, stop))
        if series.measured >= min(stop, series.closed_by(day)):
            self._found[pair] = past, found
        return found


class _Past(NamedTuple):
    """What percentiles depend on: of which day, and of which state of the series; ``reaches`` back to where the month begins."""

    specs: EntryBounds
    day: int
    revision: int
    reaches: bool


def _midnight(newest: int) -> int:
    """Return the last midnight at the close of a candle that opens at a moment."""
    return (newest + MINUTE_MS) // DAY_MS * DAY_MS


def _begins(newest: int) -> int:
    """Return when the last candle opens that closes before the 30 days of a percentile begin."""
    return _midnight(newest) - PERCENTILE_DAYS * DAY_MS - MINUTE_MS


def _newest(spec: Threshold, t: Ints, values: Floats) -> float:
    if not isinstance(spec, str):
        return spec
    if not len(t):
        return float("nan")
    midnight = _midnight(int(t[-1]))
    # One candle of today stands for it, and one from before the 30 days tells that they are whole.
    start = max(0, int(np.searchsorted(t, _begins(int(t[-1])), side="right")) - 1)
    stop = int(np.searchsorted(t, midnight - MINUTE_MS, side="right"))
    index = np.append(np.arange(start, min(stop, len(t) - 1)), len(t) - 1)
    levels = threshold(spec, t[index], values[index])
    return float(np.asarray(levels).ravel()[-1])
