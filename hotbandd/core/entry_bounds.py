"""Entry bounds as they stand at the newest candle: numbers as they are, percentiles resolved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Floats, Ints
from hotbandd.core.manifold_documents import Bounds
from hotbandd.core.series import MetricColumns
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

    def at_newest(self, t: Ints, metrics: MetricColumns) -> Bounds:
        """Return the bounds in force at the newest candle; NaN, which nothing meets, where too little is known."""
        return Bounds(*(_newest(spec, t, values) for spec, values in zip(self.all, metrics, strict=True)))


def _newest(spec: Threshold, t: Ints, values: Floats) -> float:
    if not isinstance(spec, str):
        return spec
    if not len(t):
        return float("nan")
    midnight = (int(t[-1]) + MINUTE_MS) // DAY_MS * DAY_MS
    # One candle of today stands for it, and one from before the 30 days tells that they are whole.
    start = max(0, int(np.searchsorted(t, midnight - PERCENTILE_DAYS * DAY_MS - MINUTE_MS, side="right")) - 1)
    stop = int(np.searchsorted(t, midnight - MINUTE_MS, side="right"))
    index = np.append(np.arange(start, min(stop, len(t) - 1)), len(t) - 1)
    levels = threshold(spec, t[index], values[index])
    return float(np.asarray(levels).ravel()[-1])
