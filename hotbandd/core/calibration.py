"""What a feed's metrics are like, and what the bounds mean on it."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from msgspec import Struct

from hotbandd.core.candles import Candles, Floats, Mask
from hotbandd.core.manifold import WINDOW, Family
from hotbandd.core.series import MetricColumns, Series
from hotbandd.core.thresholds import Threshold, threshold
from kernels import texture
from kernels.encoding import encode
from kernels.structure import DECIMALS

PERCENTS: Final = (1, 5, 10, 25, 50, 75, 90, 95, 99)
NEVER, ALWAYS = "never met on this feed", "always met on this feed"

Side = Literal["least", "most"]


class Bound(Struct, frozen=True):
    """A bound on a metric: the least, or the most, that it may be."""

    metric: str
    side: Side
    spec: Threshold


class BoundReport(Struct, frozen=True):
    """A bound on a feed: the share of windows that meet it, and the percentile of the metric that it stands at.

    ``value`` is the number in force, for a bound that is a percentile itself that of the newest candle; None while it is not known.
    """

    metric: str
    side: Side
    spec: Threshold
    value: float | None
    percentile: float | None
    passes: float
    words: str


class Calibration(Struct, frozen=True):
    """Quantiles of every metric by percent, each bound, and the share of windows that meet all of them."""

    instrument: str
    kernel: Family
    windows: int
    first_ms: int
    last_ms: int
    quantiles: dict[str, dict[str, float]]
    bounds: list[BoundReport]
    all_pass: float


def calibrate(instrument: str, series: Series, family: Family, bounds: list[Bound]) -> Calibration | None:
    """Describe a measured series; None where no window ends in it."""
    known = np.isfinite(series.metrics.hazard)
    if not known.any():
        return None
    candles, metrics = series.candles, series.metrics
    columns = _columns(candles, metrics)
    met = [_met(bound, candles, metrics) for bound in bounds]
    reports = [
        _report(bound, candles, metrics, mask[known], columns[bound.metric])
        for bound, mask in zip(bounds, met, strict=True)
    ]
    together = np.logical_and.reduce(met)[known] if met else known[known]
    stamps = candles.t[known]
    return Calibration(
        instrument=instrument,
        kernel=family,
        windows=int(np.count_nonzero(known)),
        first_ms=int(stamps[0]),
        last_ms=int(stamps[-1]),
        quantiles={name: _quantiles(values) for name, values in columns.items()},
        bounds=reports,
        all_pass=float(together.mean()),
    )


def _columns(candles: Candles, metrics: MetricColumns) -> dict[str, Floats]:
    """Return every metric of every measured window."""
    known = np.isfinite(metrics.hazard)
    named = {name: column[known] for name, column in metrics._asdict().items()}
    bits = encode(candles.close, candles.high, candles.low, candles.volume)
    grain = texture.measure(bits, metrics.rupture[WINDOW:], WINDOW, decimals=DECIMALS)
    return named | {name: column[known[WINDOW:]] for name, column in grain._asdict().items()}


def _quantiles(values: Floats) -> dict[str, float]:
    return {
        f"p{percent}": float(value) for percent, value in zip(PERCENTS, np.percentile(values, PERCENTS), strict=True)
    }


def _met(bound: Bound, candles: Candles, metrics: MetricColumns) -> Mask:
    values = getattr(metrics, bound.metric)
    level = threshold(bound.spec, candles.t, values)
    met: Mask = values >= level if bound.side == "least" else values <= level
    return met


def _report(bound: Bound, candles: Candles, metrics: MetricColumns, met: Mask, known: Floats) -> BoundReport:
    level = threshold(bound.spec, candles.t, getattr(metrics, bound.metric))
    newest = float(np.asarray(level).ravel()[-1])
    share = float(met.mean())
    if np.isnan(newest):
        words = "not known: a percentile needs 30 days"
        return BoundReport(bound.metric, bound.side, bound.spec, None, None, share, words)
    below = float(np.mean(known < newest) + np.mean(known == newest) / 2.0) * 100.0
    return BoundReport(bound.metric, bound.side, bound.spec, newest, round(below, 2), share, _words(met))


def _words(met: Mask) -> str:
    count, size = int(np.count_nonzero(met)), len(met)
    if count in {0, size}:
        return ALWAYS if count else NEVER
    if count < size / 1000:
        return f"met by {count} of {size:,} windows only"
    return f"met by {count / size:.1%} of windows"
