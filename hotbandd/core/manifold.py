"""Manifolds: the measured state of an instrument, minute by minute.

A window of 128 bits (129 candles) ends in a candle and is stamped at that candle's close. ``pending``, ``structure_of`` and
``complete`` measure the unmeasured tail of a series: the middle one is all that a worker runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hotbandd.core import documents
from hotbandd.core.candles import MINUTE_MS, Candles, Floats, Ints
from hotbandd.core.series import MetricColumns, Series
from hotbandd.core.signature import occurrences, signature_codes, signatures
from kernels import texture
from kernels.encoding import encode
from kernels.hazard import BREAK, crossing_hazard, event_hazard
from kernels.structure import DECIMALS, Family, Structure, measure
from kernels.volatility import sigma_eff

__all__ = [
    "COEFF_WINDOW",
    "WINDOW",
    "Bounds",
    "Family",
    "Structure",
    "complete",
    "document",
    "guard",
    "hazard_of",
    "longest_gaps",
    "pending",
    "points",
    "signals",
    "signature_codes",
    "signatures",
    "state_of",
    "structure_of",
    "structures_of",
]

WINDOW = 128
COEFF_WINDOW = 1440  # candles, and signals, that coefficients look back on
HOUR_MIN = 60
_COLLAPSE = {"calibrated": BREAK, "native": 0.5}


@dataclass(frozen=True)
class Bounds:
    """Entry bounds: least coherence and stability, most entropy, rupture and hazard."""

    c_min: float
    s_min: float
    h_max: float
    r_max: float
    hazard_max: float


def pending(series: Series) -> Candles:
    """Return the candles that a worker needs for the unmeasured tail: the tail, and up to 128 before it."""
    return series.candles.take(slice(max(0, series.measured - WINDOW), None))


def structure_of(family: Family, candles: Candles) -> Structure:
    """Measure every window of candles, w = max(0, n - 128); the first one ends in candle 128."""
    return measure(family, candles.close, candles.high, candles.low, candles.volume, WINDOW)


def structures_of(family: Family, batch: list[Candles]) -> list[Structure]:
    """Measure several instruments at once."""
    return [structure_of(family, candles) for candles in batch]


def complete(series: Series, structure: Structure, family: Family) -> None:
    """Set the metrics of the tail that ``pending`` returned, with NaN for candles in which no window ends.

    Candles that were appended since stay unmeasured.
    """
    windows = len(structure.coherence)
    tail = series.size - series.measured
    blank = min(tail, max(0, WINDOW - series.measured))
    windows = min(windows, tail - blank)
    rupture = structure.rupture[:windows]
    hazard = _hazard_after(series, rupture, blank, family)
    columns = (*(column[:windows] for column in structure), hazard)
    nan = np.full(blank, np.nan)
    series.fill(MetricColumns(*(np.concatenate((nan, column)) for column in columns)))


def _hazard_after(series: Series, rupture: Floats, blank: int, family: Family) -> Floats:
    """Return the hazard of new windows, from their R and the R's before them."""
    known = slice(max(0, series.measured - COEFF_WINDOW), series.measured)
    first = series.measured + blank
    earlier = series.metrics.rupture[known]
    t = np.concatenate((series.candles.t[known], series.candles.t[first : first + len(rupture)]))
    whole = np.concatenate((earlier, rupture))
    finite = np.isfinite(whole)
    return hazard_of(family, whole[finite], t[finite])[np.count_nonzero(finite) - len(rupture) :]


def hazard_of(family: Family, rupture: Floats, t: Ints) -> Floats:
    """Return the one-minute hazard of a rupture at each signal, over its trailing 1 440 signals."""
    if family == "calibrated":
        return crossing_hazard(rupture, COEFF_WINDOW)
    return event_hazard(rupture, t, COEFF_WINDOW)


def state_of(family: Family, rupture: float) -> Literal["live", "collapsed"]:
    """Tell whether a window has collapsed."""
    return "collapsed" if rupture >= _COLLAPSE[family] else "live"


def guard(metrics: MetricColumns, bounds: Bounds) -> documents.Guard:
    """Hold the newest metrics against each bound; what is not known meets none."""
    c, s, h, r, hazard = (float(column[-1]) for column in metrics)
    return documents.Guard(
        coherence=c >= bounds.c_min,
        stability=s >= bounds.s_min,
        entropy=h <= bounds.h_max,
        rupture=r <= bounds.r_max,
        hazard=hazard <= bounds.hazard_max,
    )


def points(series: Series, start: int, family: Family, *, precision: int, levels: int) -> list[documents.ManifoldPoint]:
    """Return the history points of the measured candles from index ``start`` on."""
    chosen = _measured(series, start)
    metrics = MetricColumns(*(column[chosen] for column in series.metrics))
    names = signatures(family, metrics, precision=precision, levels=levels)
    stamps = (series.candles.t[chosen] + MINUTE_MS).tolist()
    rows = zip(stamps, names, *(column.tolist() for column in metrics), strict=True)
    return [
        documents.ManifoldPoint(ts=ts, signature=name, C=c, S=s, H=h, R=r, lambda_=hazard)
        for ts, name, c, s, h, r, hazard in rows
    ]


def signals(series: Series, start: int, family: Family, *, precision: int, levels: int) -> list[documents.Signal]:
    """Return the signals of the measured candles from index ``start`` on."""
    prices = series.candles.close[_measured(series, start)].tolist()
    return [
        documents.Signal(
            ts_ns=point.ts * 1_000_000,
            price=price,
            state=state_of(family, point.R),
            coherence=point.C,
            stability=point.S,
            entropy=point.H,
            rupture=point.R,
            lambda_=point.lambda_,
            signature=point.signature,
        )
        for point, price in zip(points(series, start, family, precision=precision, levels=levels), prices, strict=True)
    ]


def _measured(series: Series, start: int) -> Ints:
    """Return the indices from ``start`` on at which a window ends."""
    start = max(0, start)
    stop = max(start, series.measured)
    return start + np.flatnonzero(np.isfinite(series.metrics.coherence[start:stop]))


def document(  # noqa: PLR0913
    series: Series,
    instrument: str,
    family: Family,
    bounds: Bounds,
    *,
    precision: int,
    levels: int,
    source: str,
    epoch: int,
    seq: int,
) -> documents.Manifold | None:
    """Return the manifold of the newest measured candle; None where no window ends in it."""
    newest = series.measured - 1
    if newest < 0 or not np.isfinite(series.metrics.coherence[newest]):
        return None
    recent = slice(max(0, newest + 1 - COEFF_WINDOW), newest + 1)
    candles, metrics = series.candles.take(recent), series.metrics.take(recent)
    rupture = float(metrics.rupture[-1])
    return documents.Manifold(
        instrument=instrument,
        ts=int(candles.t[-1]) + MINUTE_MS,
        price=float(candles.close[-1]),
        state=state_of(family, rupture),
        metrics=_structure(candles, metrics),
        coeffs=documents.Coefficients(
            sigma_eff=sigma_eff(candles.close), lambda_=float(metrics.hazard[-1]), lambda_hazard=rupture
        ),
        repetition=_repetition(candles, metrics, family, precision=precision, levels=levels),
        diagnostics=documents.Diagnostics(
            kernel=family, candles=candles.size, window=WINDOW, source=source, gap_minutes=_gap(candles)
        ),
        guard=guard(metrics, bounds),
        epoch=epoch,
        seq=seq,
    )


def _structure(candles: Candles, metrics: MetricColumns) -> documents.Structure:
    """Return the newest metrics, and the texture of their window while all its candles are there."""
    last = candles.take(slice(-WINDOW - 1, None))
    bits = encode(last.close, last.high, last.low, last.volume)
    columns = texture.measure(bits, metrics.rupture[-1:], WINDOW)._asdict() if last.size > WINDOW else {}
    return documents.Structure(
        coherence=float(metrics.coherence[-1]),
        stability=float(metrics.stability[-1]),
        entropy=float(metrics.entropy[-1]),
        rupture=float(metrics.rupture[-1]),
        **{name: round(float(column[-1]), DECIMALS) for name, column in columns.items()},
    )


def _repetition(
    candles: Candles, metrics: MetricColumns, family: Family, *, precision: int, levels: int
) -> documents.Repetition:
    hour = slice(int(np.searchsorted(candles.t, candles.t[-1] - HOUR_MIN * MINUTE_MS)), None)
    names = signatures(family, metrics.take(hour), precision=precision, levels=levels)
    last = occurrences(names, (candles.t[hour] + MINUTE_MS).tolist(), HOUR_MIN)[-1]
    return documents.Repetition(signature=names[-1], count_1h=last.times, first_seen_ms=last.first_ms)


def _gap(candles: Candles) -> float | None:
    longest = longest_gaps(candles.take(slice(-WINDOW - 1, None)).t)
    return float(longest[-1]) if len(longest) and longest[-1] else None


def longest_gaps(t: Ints) -> Floats:
    """Return the longest gap over an hour inside each window, minutes from close to open; 0 where there is none, float64[w]."""
    longest = np.zeros(max(0, len(t) - WINDOW))
    gaps = (np.diff(t) - MINUTE_MS) / MINUTE_MS
    for j in np.flatnonzero(gaps > HOUR_MIN):
        inside = slice(max(0, j + 1 - WINDOW), j + 1)
        longest[inside] = np.maximum(longest[inside], gaps[j])
    return longest
