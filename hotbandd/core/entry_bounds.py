"""Entry bounds as they stand at the newest candle: numbers as they are, percentiles resolved."""

from __future__ import annotations

from dataclasses import dataclass

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
