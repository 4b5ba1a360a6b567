"""The growing series of one instrument: candles, and the metrics of the window that ends in each of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Floats, Ints, changes, concatenate, empty, merge, of_any
from hotbandd.core.cold import Cold, Side

UNPACKED = 2000  # more than every step looks at: 1 440 candles back, and a few windows
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
    """Candles and metrics of one instrument in columns that grow at their end; older days may be packed.

    Views that were handed out stay as they were: an append writes behind them, everything else copies. (Only metrics that were
    not known are filled in.)
    ``measured`` is the number of candles whose metrics are final (NaN ones before the first window included). ``revision``
    counts the changes of what stood there already: while it stays, the series only grew at its end and was trimmed at its front.
    ``unpacked``: so many of the newest candles are never packed.
    """

    def __init__(self, unpacked: int = UNPACKED) -> None:
        self._never_packed = unpacked
        self._cold = Cold()
        self._columns: list[Any] = [column.copy() for column in (*empty(), *unmeasured(0))]
        self._start = 0
        self._stop = 0
        self.measured = 0
        self.revision = 0

    @property
    def size(self) -> int:
        """Number of candles."""
        return self._cold.size + self._stop - self._start

    @property
    def nbytes(self) -> int:
        """Bytes that are held, room to grow included."""
        return self._cold.nbytes + sum(int(column.nbytes) for column in self._columns)

    @property
    def candles(self) -> Candles:
        """The candles; as views as far as they are not packed."""
        return self.take(slice(None))

    @property
    def metrics(self) -> MetricColumns:
        """The metrics beside the candles."""
        return self.measures(slice(None))

    @property
    def newest(self) -> int:
        """Open time of the newest candle, or -1."""
        return self.opened(self.size - 1) if self.size else -1

    def take(self, index: slice) -> Candles:
        """Return the candles at a slice (without a step), as views, and only the packed ones among them unpacked."""
        first, stop, _ = index.indices(self.size)
        hot = of_any(self._hot(first, stop, self._columns[:_CANDLE_COLUMNS]))
        return concatenate([*self._cold.candles(first, stop), hot]) if first < min(stop, self._cold.size) else hot

    def measures(self, index: slice) -> MetricColumns:
        """Return the metrics beside the candles at a slice, as views, and only the packed ones among them unpacked."""
        first, stop, _ = index.indices(self.size)
        hot = MetricColumns(*self._hot(first, stop, self._columns[_CANDLE_COLUMNS:]))
        if first >= min(stop, self._cold.size):
            return hot
        return MetricColumns(*map(np.concatenate, zip(*self._cold.metrics(first, stop), hot, strict=True)))

    def _hot(self, first: int, stop: int, columns: list[Any]) -> list[Any]:
        base = self._start - self._cold.size
        part = slice(max(first + base, self._start), max(stop + base, self._start))
        return [column[part] for column in columns]

    def opened(self, index: int) -> int:
        """Return when the candle at an index opens, UTC epoch ms."""
        packed = self._cold.size
        return self._cold.opened(index) if index < packed else int(self._columns[0][self._start + index - packed])

    def ranks(self, moments: Ints, side: Side = "left") -> Ints:
        """Return how many candles open before each moment, or, with ``side`` right, at it or before: indices, as of ``searchsorted``."""
        hot: Ints = np.searchsorted(self._columns[0][self._start : self._stop], moments, side)
        return self._cold.rank(moments, side) + hot

    def rank(self, moment_ms: int, side: Side = "left") -> int:
        """Return how many candles open before a moment, or, with ``side`` right, at it or before."""
        hot = int(self._columns[0][self._start : self._stop].searchsorted(moment_ms, side))
        if hot or not self._cold.size:
            return self._cold.size + hot
        return int(self._cold.rank(np.array([moment_ms], dtype=np.int64), side)[0])

    def add(self, new: Candles) -> Candles:
        """Take candles in, ascending, replacing those of the same minutes; return the ones that changed anything.

        Metrics from the first change on have to be measured again.
        """
        changed = self._changes(new)
        if not changed.size:
            return changed
        if int(changed.t[0]) > self.newest:
            self._append(changed)
        else:
            self.revision += 1
            first = self.rank(int(changed.t[0]))
            self._unpack_from(first)
            self.measured = min(self.measured, first)
            self._replace(merge(self._unpacked, changed))
        return changed

    def closed_by(self, moment_ms: int) -> int:
        """Return how many candles have closed by a moment."""
        return self.rank(moment_ms - MINUTE_MS, "right")

    def span(self, moment_ms: int, since_ms: int = 0) -> slice:
        """Return where the candles are that opened since one moment and closed by another; one that is not measured yet has not arrived."""
        first = self.rank(since_ms) if since_ms else 0
        return slice(first, max(first, min(self.closed_by(moment_ms), self.measured)))

    def until(self, moment_ms: int, since_ms: int = 0) -> tuple[Candles, MetricColumns]:
        """Return the candles of a ``span`` and their metrics."""
        seen = self.span(moment_ms, since_ms)
        return self.take(seen), self.measures(seen)

    def recent(self, moment_ms: int, minutes: int) -> tuple[Ints, MetricColumns]:
        """Return the stamps (closes) in (moment − minutes, moment] with their metrics, those without a window left out."""
        seen = slice(self.closed_by(moment_ms - minutes * MINUTE_MS), self.closed_by(moment_ms))
        stamps, metrics = self.take(seen).t + MINUTE_MS, self.measures(seen)
        known = np.isfinite(metrics.hazard)
        return stamps[known], MetricColumns(*(column[known] for column in metrics))

    def measured_by(self, moment_ms: int) -> int | None:
        """Return the stamp (close) of the newest candle closed by a moment in which a measured window ends."""
        stop = self.closed_by(moment_ms)
        looked_at = slice(max(0, stop - _LOOK), stop)
        known = np.flatnonzero(np.isfinite(self.measures(looked_at).hazard))
        return self.opened(looked_at.start + int(known[-1])) + MINUTE_MS if known.size else None

    def fill(self, metrics: MetricColumns) -> None:
        """Set the metrics of the next unmeasured candles."""
        start = self._start + self.measured - self._cold.size
        for column, values in zip(self._columns[_CANDLE_COLUMNS:], metrics, strict=True):
            column[start : start + len(values)] = values
        self.measured += metrics.size

    def trim(self, before_ms: int) -> None:
        """Forget candles that open before a moment."""
        if not self.size or self.opened(0) >= before_ms:
            return
        gone = self.rank(before_ms)
        packed = min(gone, self._cold.size)
        self._cold.trim(packed)
        self._start += gone - packed
        self.measured = max(0, self.measured - gone)

    def pack(self) -> bool:
        """Pack the oldest day that is not packed, if it is measured and long enough ago; return whether it was.

        Nothing else changes, but that what is packed costs some milliseconds per day to be looked at.
        """
        t = self._columns[0][self._start : max(self._start, self._stop - self._never_packed)]
        if not len(t):
            return False
        begins = int(t[0]) // DAY_MS * DAY_MS
        end = int(np.searchsorted(t, begins + DAY_MS))
        first = self._cold.size
        if end == len(t) or first + end > self.measured or (t[:end] % MINUTE_MS).any():
            return False
        day = slice(first, first + end)
        self._cold.append(begins, self.take(day), self.measures(day))
        self._start += end
        return True

    def tighten(self) -> None:
        """Lay the columns anew where most of them are days that were packed."""
        size = self._stop - self._start
        if len(self._columns[0]) > 2 * (size + _room(size)):
            self._replace(self._unpacked)

    @property
    def _unpacked(self) -> Candles:
        return self.take(slice(self._cold.size, None))

    def _unpack_from(self, index: int) -> None:
        """Have all candles from an index on unpacked, as they are about to change."""
        if index < self._cold.size:
            candles, metrics = self.candles, self.metrics
            self._cold = Cold()
            self._lay(candles, metrics)

    def _changes(self, new: Candles) -> Candles:
        """Leave out what is stored already, to the last field."""
        if not new.size or int(new.t[0]) > self.newest:
            return new
        return changes(self.take(slice(self.rank(int(new.t[0])), self.rank(int(new.t[-1]), "right"))), new)

    def _append(self, new: Candles) -> None:
        needed = self._stop + new.size
        if needed > len(self._columns[0]):
            self._replace(concatenate((self._unpacked, new)))
            return
        for column, values in zip(self._columns[:_CANDLE_COLUMNS], new, strict=True):
            column[self._stop : needed] = values
        self._stop = needed

    def _replace(self, candles: Candles) -> None:
        """Lay the columns that are not packed anew; metrics that are final stay beside their candles at the front."""
        packed = self._cold.size
        self._lay(candles, self.measures(slice(packed, min(self.measured, packed + candles.size))))

    def _lay(self, candles: Candles, metrics: MetricColumns) -> None:
        """Lay columns with room to grow; metrics of the first candles, those of the others are not known."""
        size = candles.size
        columns: list[Any] = []
        for values in candles:
            column = np.zeros(size + _room(size), dtype=values.dtype)
            column[:size] = values
            columns.append(column)
        for values in metrics:
            column = np.full(size + _room(size), np.nan)
            column[: len(values)] = values
            columns.append(column)
        self._columns = columns
        self._start, self._stop = 0, size


def _room(size: int) -> int:
    """Return how many more candles columns have room for: the same every time, so that memory is what it will be from the start."""
    return max(1024, size // 8)
