"""Manifolds as others read them: the newest one, the history's points, signals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from math import isnan
from typing import NamedTuple

import numpy as np

from hotbandd.core import documents
from hotbandd.core.candles import MINUTE_MS, Candles, Floats, Ints
from hotbandd.core.manifold import COEFF_WINDOW, WINDOW, Family, longest_gaps, state_of
from hotbandd.core.series import MetricColumns, Series
from hotbandd.core.signature import occurrences, signatures
from kernels import texture
from kernels.encoding import encode
from kernels.structure import DECIMALS
from kernels.texture import Texture
from kernels.volatility import sigma_eff

HOUR_MIN = 60


@dataclass(frozen=True)
class Bounds:
    """Entry bounds: least coherence and stability, most entropy, rupture and hazard."""

    c_min: float
    s_min: float
    h_max: float
    r_max: float
    hazard_max: float


@dataclass(frozen=True)
class Form:
    """How signatures are written: decimals of the native family, steps of the calibrated one."""

    precision: int
    levels: int


class Origin(NamedTuple):
    """Who publishes: the source of the candles, the lease's epoch, the place in the order of the document."""

    source: str
    epoch: int
    seq: int


class Rows(NamedTuple):
    """Measured candles in a row: stamps (closes), prices, metrics, signatures and, where asked for, texture; columns of equal length."""

    ts: Ints
    price: Floats
    metrics: MetricColumns
    names: list[str]
    texture: Texture | None


def rows_of(series: Series, start: int, family: Family, form: Form, *, textured: bool = True) -> Rows:
    """Return the measured candles from index ``start`` on in which a window ends.

    Texture is NaN where the candles of a window are not all there any more.
    """
    first, stop = max(0, start), max(0, start, series.measured)
    first += int(
        np.count_nonzero(np.isnan(series.measures(slice(first, stop)).coherence))
    )  # only the first 128 candles end no window
    candles, metrics = series.take(slice(first, stop)), series.measures(slice(first, stop))
    return Rows(
        ts=candles.t + MINUTE_MS,
        price=candles.close,
        metrics=metrics,
        names=signatures(family, metrics, precision=form.precision, levels=form.levels),
        texture=_texture(series.take(slice(max(0, first - WINDOW), stop)), metrics.rupture) if textured else None,
    )


def _texture(candles: Candles, rupture: Floats) -> Texture:
    """Measure the windows that end in the last candles, as many as there are R's."""
    bits = encode(candles.close, candles.high, candles.low, candles.volume) if candles.size else np.empty(0, np.uint8)
    known = max(0, min(len(rupture), candles.size - WINDOW))
    unknown = np.full(len(rupture) - known, np.nan)
    measured = texture.measure(bits, rupture[len(rupture) - known :], WINDOW, decimals=DECIMALS)
    return Texture(*(np.concatenate((unknown, column)) for column in measured)) if len(unknown) else measured


def points(rows: Rows) -> list[documents.ManifoldPoint]:
    """Return history points."""
    bare: Iterable[dict[str, float]] = repeat({}, len(rows.names))
    textures = bare if rows.texture is None else _records(rows.texture)
    columns = zip(rows.ts.tolist(), rows.names, *(column.tolist() for column in rows.metrics), textures, strict=True)
    return [
        documents.ManifoldPoint(ts=ts, signature=name, C=c, S=s, H=h, R=r, lambda_=hazard, **grain)
        for ts, name, c, s, h, r, hazard, grain in columns
    ]


def _records(grain: Texture) -> list[dict[str, float]]:
    """Return the texture of each window by name; nothing where it is not known."""
    return [
        dict(zip(Texture._fields, values, strict=True)) if not isnan(values[0]) else {}
        for values in zip(*(column.tolist() for column in grain), strict=True)
    ]


def signals(rows: Rows, family: Family) -> list[documents.Signal]:
    """Return signals."""
    columns = zip(
        rows.ts.tolist(), rows.price.tolist(), rows.names, *(column.tolist() for column in rows.metrics), strict=True
    )
    return [
        documents.Signal(
            ts_ns=ts * 1_000_000,
            price=price,
            state=state_of(family, r),
            coherence=c,
            stability=s,
            entropy=h,
            rupture=r,
            lambda_=hazard,
            signature=name,
        )
        for ts, price, name, c, s, h, r, hazard in columns
    ]


def document(
    series: Series,
    instrument: str,
    family: Family,
    bounds: Bounds,
    form: Form,
    origin: Origin,
    known: Texture | None = None,
) -> documents.Manifold | None:
    """Return the manifold of the newest measured candle; None where no window ends in it. ``known``: textures up to it, if they are."""
    newest = series.measured - 1
    recent = slice(max(0, newest + 1 - COEFF_WINDOW), newest + 1)
    candles, metrics = series.take(recent), series.measures(recent)
    if not candles.size or not np.isfinite(metrics.coherence[-1]):
        return None
    rupture = float(metrics.rupture[-1])
    return documents.Manifold(
        instrument=instrument,
        ts=int(candles.t[-1]) + MINUTE_MS,
        price=float(candles.close[-1]),
        state=state_of(family, rupture),
        metrics=_structure(metrics, known or _newest_texture(candles, metrics)),
        coeffs=documents.Coefficients(
            sigma_eff=sigma_eff(candles.close), lambda_=float(metrics.hazard[-1]), lambda_hazard=rupture
        ),
        repetition=_repetition(candles, metrics, family, form),
        diagnostics=documents.Diagnostics(
            kernel=family, candles=candles.size, window=WINDOW, source=origin.source, gap_minutes=_gap(candles)
        ),
        guard=guard(metrics, bounds),
        epoch=origin.epoch,
        seq=origin.seq,
    )


def _structure(metrics: MetricColumns, grain: Texture) -> documents.Structure:
    """Return the newest metrics, and the texture of their window while all its candles are there."""
    c, s, h, r, _ = (float(column[-1]) for column in metrics)
    newest = Texture(*(column[-1:] for column in grain))
    return documents.Structure(coherence=c, stability=s, entropy=h, rupture=r, **_records(newest)[0])


def _newest_texture(candles: Candles, metrics: MetricColumns) -> Texture:
    return _texture(candles.take(slice(-WINDOW - 1, None)), metrics.rupture[-1:])


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


def _repetition(candles: Candles, metrics: MetricColumns, family: Family, form: Form) -> documents.Repetition:
    hour = slice(int(np.searchsorted(candles.t, candles.t[-1] - HOUR_MIN * MINUTE_MS)), None)
    names = signatures(family, metrics.take(hour), precision=form.precision, levels=form.levels)
    last = occurrences(names, (candles.t[hour] + MINUTE_MS).tolist(), HOUR_MIN)[-1]
    return documents.Repetition(signature=names[-1], count_1h=last.times, first_seen_ms=last.first_ms)


def _gap(candles: Candles) -> float | None:
    longest = longest_gaps(candles.take(slice(-WINDOW - 1, None)).t)
    return float(longest[-1]) if len(longest) and longest[-1] else None
