"""The growing series of one instrument: candles, and the metrics of the window that ends in each of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hotbandd.core.candles import MINUTE_MS, Candles, Floats, Ints, changes, concatenate, empty, merge, of_any

_LOOK = 256  # a candle later than this many back is measured, or none is
_CANDLE_COLUMNS = len(Candles._fields)


class MetricColumns(NamedTuple):
    """Metrics per candle, float64[n], NaN where no window of 128 ends: C, S, H, R and the hazard ``lambda``."""

    coherence: Floats
    stability: Floats
    entropy: Floats
    rupture: Floats
    hazard: Floats

    @property
    def size(self) -> int:
        """Number of candles that the metrics stand beside."""
        return len(self.coherence)

    def take(self, index: slice) -> MetricColumns:
        """Return the metrics at a slice."""
        return MetricColumns(*(column[index] for column in self))


def unmeasured(size: int) -> MetricColumns:
    """Return metrics that are not known."""
    return MetricColumns(*(np.full(size, np.nan) for _ in MetricColumns._fields))


class Series:
    """Candles and metrics of one instrument in columns that grow at their end.

    Views that were handed out stay as they were: an append writes behind them, everything else copies. (Only metrics that were
    not known are filled in.)
    ``measured`` is the number of candles whose metrics are final (NaN ones before the first window included). ``revision``
    counts the changes of what stood there already: while it stays, the series only grew at its end and was trimmed at its front.
    """

    def __init__(self) -> None:
        self._columns: list[Any] = [column.copy() for column in (*empty(), *unmeasured(0))]
        self._start = 0
        self._stop = 0
        self.measured = 0
        self.revision = 0

    @property
    def size(self) -> int:
        """Number of candles."""
        return self._stop - self._start

    @property
    def candles(self) -> Candles:
        """The candles, as views."""
        return of_any(c[self._start : self._stop] for c in self._columns[:_CANDLE_COLUMNS])

    @property
    def metrics(self) -> MetricColumns:
        """The metrics beside the candles, as views."""
        return MetricColumns(*(c[self._start : self._stop] for c in self._columns[_CANDLE_COLUMNS:]))

    @property
    def newest(self) -> int:
        """Open time of the newest candle, or -1."""
        return int(self._columns[0][self._stop - 1]) if self.size else -1

    def add(self, new: Candles) -> Candles:
        """Take candles in, ascending, replacing those of the same minutes; return the ones that changed anything.

        Metrics from the first change on have to be measured again.
        """
        changed = changes(self.candles, new)
        if not changed.size:
            return changed
        if int(changed.t[0]) > self.newest:
            self._append(changed)
        else:
            self.revision += 1
            self.measured = min(self.measured, int(np.searchsorted(self.candles.t, changed.t[0])))
            self._replace(merge(self.candles, changed))
        return changed

    def closed_by(self, moment_ms: int) -> int:
        """Return how many candles have closed by a moment."""
        return int(np.searchsorted(self._columns[0][self._start : self._stop], moment_ms - MINUTE_MS, side="right"))

    def until(self, moment_ms: int, since_ms: int = 0) -> tuple[Candles, MetricColumns]:
        """Return the candles closed by a moment, and their metrics, as views; one that is not measured yet has not arrived.

        ``since_ms``: leave those out that opened before.
        """
        first = int(np.searchsorted(self._columns[0][self._start : self._stop], since_ms)) if since_ms else 0
        seen = slice(first, min(self.closed_by(moment_ms), self.measured))
        return self.candles.take(seen), self.metrics.take(seen)

    def recent(self, moment_ms: int, minutes: int) -> tuple[Ints, MetricColumns]:
        """Return the stamps (closes) in (moment − minutes, moment] with their metrics, those without a window left out."""
        first, last = self.closed_by(moment_ms - minutes * MINUTE_MS), self.closed_by(moment_ms)
        stamps, metrics = self.candles.t[first:last] + MINUTE_MS, self.metrics.take(slice(first, last))
        known = np.isfinite(metrics.hazard)
        return stamps[known], MetricColumns(*(column[known] for column in metrics))

    def measured_by(self, moment_ms: int) -> int | None:
        """Return the stamp (close) of the newest candle closed by a moment in which a measured window ends."""
        stop = self.closed_by(moment_ms)
        known = np.flatnonzero(np.isfinite(self.metrics.hazard[:stop][-_LOOK:]))
        return int(self.candles.t[:stop][-_LOOK:][known[-1]]) + MINUTE_MS if known.size else None

    def fill(self, metrics: MetricColumns) -> None:
        """Set the metrics of the next unmeasured candles."""
        start = self._start + self.measured
        for column, values in zip(self._columns[_CANDLE_COLUMNS:], metrics, strict=True):
            column[start : start + len(values)] = values
        self.measured += metrics.size

    def trim(self, before_ms: int) -> None:
        """Forget candles that open before a moment."""
        gone = int(np.searchsorted(self.candles.t, before_ms))
        self._start += gone
        self.measured = max(0, self.measured - gone)

    def _append(self, new: Candles) -> None:
        needed = self._stop + new.size
        if needed > len(self._columns[0]):
            self._replace(concatenate((self.candles, new)))
            return
        for column, values in zip(self._columns[:_CANDLE_COLUMNS], new, strict=True):
            column[self._stop : needed] = values
        self._stop = needed

    def _replace(self, candles: Candles) -> None:
        """Lay the columns anew with room for an eighth more; metrics that are final stay beside their candles at the front."""
        kept = self.metrics.take(slice(0, min(self.measured, candles.size)))
        size = candles.size
        room = max(1024, size // 8)  # the same every time, so that memory is what it will be from the start
        columns: list[Any] = []
        for values in candles:
            column = np.zeros(size + room, dtype=values.dtype)
            column[:size] = values
            columns.append(column)
        for values in kept:
            column = np.full(size + room, np.nan)
            column[: len(values)] = values
            columns.append(column)
        self._columns = columns
        self._start, self._stop = 0, size
