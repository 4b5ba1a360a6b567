"""Thresholds on metrics: numbers as they are, or percentiles of the instrument's own past; and the guards made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Floats, Ints, Mask
from hotbandd.core.series import MetricColumns
from hotbandd.errors import UsageError

Threshold = float | str

PERCENTILE_DAYS: Final = 30

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")


@dataclass(frozen=True)
class Guards:
    """Bounds that an entry must meet besides coherence, where enforced."""

    enforce: bool
    s_min: Threshold
    h_max: Threshold
    r_max: Threshold
    hazard_max: Threshold


def parse_threshold(text: str) -> Threshold:
    """Parse a number or ``pNN``. Raises UsageError."""
    cleaned = text.strip()
    if _PERCENTILE.fullmatch(cleaned):
        return cleaned
    try:
        value = float(cleaned)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UsageError(f"{text!r} is no threshold; write a number such as 0.55, or a percentile from p0 to p100.")
    return value


def threshold(spec: Threshold, t: Ints, values: Floats) -> float | Floats:
    """Return what a metric is compared with: the number, or the percentile in force at each candle's close, float64[n].

    A percentile is taken at UTC midnight over the values known in the 30 days before, linearly interpolated; NaN, which
    nothing meets, while the first known value is younger than that. Raises UsageError for a malformed percentile.
    """
    if not isinstance(spec, str):
        return spec
    parsed = parse_threshold(spec)
    return parsed if isinstance(parsed, float) else _percentiles(float(parsed[1:]), t, values)


def _percentiles(percent: float, t: Ints, values: Floats) -> Floats:
    known = np.isfinite(values)
    known_at, known_values = (t + MINUTE_MS)[known], values[known]
    midnights, day = np.unique((t + MINUTE_MS) // DAY_MS * DAY_MS, return_inverse=True)
    starts = midnights - PERCENTILE_DAYS * DAY_MS
    first, last = np.searchsorted(known_at, (starts, midnights), side="right")
    levels = np.full(len(midnights), np.nan)
    for i in np.flatnonzero((first > 0) & (last > first)):  # first > 0: a value was known when the 30 days began
        levels[i] = np.percentile(known_values[first[i] : last[i]], percent)
    at: Floats = levels[day]
    return at


def admitted(t: Ints, metrics: MetricColumns, c_min: Threshold, guards: Guards) -> Mask:
    """Tell at which candles' closes the metrics admit an entry, bool[n]; an unknown metric or threshold never does."""
    met: Mask = metrics.coherence >= threshold(c_min, t, metrics.coherence)
    if not guards.enforce:
        return met
    met &= metrics.stability >= threshold(guards.s_min, t, metrics.stability)
    met &= metrics.entropy <= threshold(guards.h_max, t, metrics.entropy)
    met &= metrics.rupture <= threshold(guards.r_max, t, metrics.rupture)
    met &= metrics.hazard <= threshold(guards.hazard_max, t, metrics.hazard)
    return met
