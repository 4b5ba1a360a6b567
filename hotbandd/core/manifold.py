"""Manifolds: the measured state of an instrument, minute by minute.

A window of 128 bits (129 candles) ends in a candle and is stamped at that candle's close. ``pending``, ``structure_of`` and
``complete`` measure the unmeasured tail of a series: the middle one is all that a worker runs.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Literal, NamedTuple

import numpy as np

from hotbandd.core.candles import MINUTE_MS, Candles, Floats, Ints
from hotbandd.core.series import MetricColumns, Series, unmeasured
from kernels.hazard import BREAK, crossing_hazard, event_hazard
from kernels.structure import Family, Structure, measure

__all__ = [
    "COEFF_WINDOW",
    "WINDOW",
    "Columns",
    "Family",
    "Structure",
    "complete",
    "hazard_of",
    "longest_gaps",
    "measure_series",
    "pending",
    "state_of",
    "structure_of",
    "structures_of",
]

WINDOW = 128
COEFF_WINDOW = 1440  # candles, and signals, that coefficients look back on
HOUR_MIN = 60
SIDE_BY_SIDE = (
    64  # windows up to which several instruments are measured as one table: past that, each alone is as quick
)
_COLLAPSE = {"calibrated": BREAK, "native": 0.5}


class Columns(NamedTuple):
    """What a family is measured on, float64[n]."""

    close: Floats
    high: Floats
    low: Floats
    volume: Floats


def pending(series: Series, family: Family) -> Columns:
    """Return what a worker needs to measure the unmeasured tail: the tail, and up to 128 candles before it."""
    return columns_of(family, series.take(slice(max(0, series.measured - WINDOW), None)))


def columns_of(family: Family, candles: Candles) -> Columns:
    """Return what a family is measured on; of the calibrated one only closes, so that no more than that goes to a worker."""
    if family == "calibrated":
        return Columns(*[candles.close] * len(Columns._fields))
    return Columns(candles.close, candles.high, candles.low, candles.volume)


def structure_of(family: Family, candles: Candles) -> Structure:
    """Measure every window of candles, w = max(0, n - 128); the first one ends in candle 128."""
    return measure(family, *columns_of(family, candles), WINDOW)


def structures_of(family: Family, batch: list[Columns]) -> list[Structure]:
    """Measure several instruments; those with as many candles side by side, where their windows are few."""
    found: dict[int, Structure] = {}
    alike: dict[int, list[int]] = defaultdict(list)
    for i, columns in enumerate(batch):
        alike[len(columns.close)].append(i)
    for size, members in alike.items():
        if len(members) == 1 or size > WINDOW + SIDE_BY_SIDE:
            found |= {i: measure(family, *batch[i], WINDOW) for i in members}
        else:
            columns_of_all = zip(*(batch[i] for i in members), strict=True)
            joined = Columns._make(np.ascontiguousarray(np.array(column).T) for column in columns_of_all)
            together = measure(family, *joined, WINDOW)
            found |= {i: Structure(*(column[:, at] for column in together)) for at, i in enumerate(members)}
    return [found[i] for i in range(len(batch))]


def measure_series(series: Series, family: Family) -> None:
    """Measure the unmeasured tail of a series here."""
    complete(series, structures_of(family, [pending(series, family)])[0], family)


def complete(series: Series, structure: Structure, family: Family) -> None:
    """Set the metrics of the tail that ``pending`` returned, with NaN for candles in which no window ends.

    Candles that were appended since stay unmeasured.
    """
    windows = len(structure.coherence)
    tail = series.size - series.measured
    blank = min(tail, max(0, WINDOW - series.measured))
    windows = min(windows, tail - blank)
    if blank:
        series.fill(unmeasured(blank))
    if windows:
        rupture = structure.rupture[:windows]
        hazard = _hazard_after(series, rupture, family)
        series.fill(MetricColumns._make((*(column[:windows] for column in structure), hazard)))


def _hazard_after(series: Series, rupture: Floats, family: Family) -> Floats:
    """Return the hazard of new windows, from their R and the R's before them; a window ends in every candle from the first one on."""
    stop = series.measured
    first = max(0, stop - COEFF_WINDOW)
    earlier, t = series.measures(slice(first, stop)).rupture, series.take(slice(first, stop + len(rupture))).t
    blank = int(np.isnan(earlier).sum()) if first < WINDOW else 0
    whole = np.concatenate((earlier[blank:], rupture))
    return hazard_of(family, whole, t[blank:], newest=len(rupture))


def hazard_of(family: Family, rupture: Floats, t: Ints, *, newest: int | None = None) -> Floats:
    """Return the one-minute hazard of a rupture at each signal, or the newest ones, over its trailing 1 440 signals."""
    if family == "calibrated":
        return crossing_hazard(rupture, COEFF_WINDOW, newest=newest)
    return event_hazard(rupture, t, COEFF_WINDOW, newest=newest)


def state_of(family: Family, rupture: float) -> Literal["live", "collapsed"]:
    """Tell whether a window has collapsed."""
    return "collapsed" if rupture >= _COLLAPSE[family] else "live"


def longest_gaps(t: Ints) -> Floats:
    """Return the longest gap over an hour inside each window, minutes from close to open; 0 where there is none, float64[w]."""
    longest = np.zeros(max(0, len(t) - WINDOW))
    gaps = (np.diff(t) - MINUTE_MS) / MINUTE_MS
    for j in np.flatnonzero(gaps > HOUR_MIN):
        inside = slice(max(0, j + 1 - WINDOW), j + 1)
        longest[inside] = np.maximum(longest[inside], gaps[j])
    return longest
