"""The older days of a series, packed: of each candle only its minute is at hand, the rest is unpacked where it is asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hotbandd.core import packed_day
from hotbandd.core.candles import MINUTE_MS, Candles, Floats, Ints

Side = Literal["left", "right"]

_TOP: Final = 2  # bytes of a float that hold sign, exponent and the first digits: all that can be packed where no value comes twice
_RECURRING: Final = 4  # a column in which a value stands so often, on average, is packed whole
_FEWEST, _MOST = np.iinfo(np.int32).min, np.iinfo(np.int32).max


class _Day(NamedTuple):
    """A packed day: when it begins, how many candles it has, and they and their metrics, packed."""

    begins_ms: int
    size: int
    candles: bytes
    metrics: tuple[bytes, ...]


class Cold:
    """Whole days of measured candles, ascending, each on a whole minute. Indices count from the oldest candle that is kept."""

    def __init__(self) -> None:
        self._days: list[_Day] = []
        self._forgotten = 0  # candles at the front of the first day
        self._minutes: NDArray[np.int32] = np.empty(0, np.int32)

    @property
    def size(self) -> int:
        """Number of candles."""
        return len(self._minutes)

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        days = (len(day.candles) + sum(map(len, day.metrics)) for day in self._days)
        return self._minutes.nbytes + sum(days)

    def opened(self, index: int) -> int:
        """Return when the candle at an index opens, UTC epoch ms."""
        return int(self._minutes[index]) * MINUTE_MS

    def rank(self, moments: Ints, side: Side = "left") -> Ints:
        """Return how many candles open before each moment, or, with ``side`` right, at it or before."""
        minutes = -(-moments // MINUTE_MS) if side == "left" else moments // MINUTE_MS
        # As numbers of the same size, else the minutes would be copied.
        found: Ints = np.searchsorted(self._minutes, np.clip(minutes, _FEWEST, _MOST).astype(np.int32), side)
        return found

    def append(self, begins_ms: int, candles: Candles, metrics: Sequence[Floats]) -> None:
        """Take in a day behind the others."""
        packed = tuple(map(_packed, metrics))
        self._days.append(_Day(begins_ms, candles.size, packed_day.pack(candles), packed))
        self._minutes = np.concatenate((self._minutes, (candles.t // MINUTE_MS).astype(np.int32)))

    def trim(self, gone: int) -> None:
        """Forget the oldest candles."""
        self._minutes = self._minutes[gone:]
        self._forgotten += gone
        while self._days and self._days[0].size <= self._forgotten:
            self._forgotten -= self._days.pop(0).size
            self._minutes = self._minutes.copy()  # what is forgotten is not held any more

    def candles(self, first: int, stop: int) -> list[Candles]:
        """Return the candles in [first, stop), as parts."""
        return [packed_day.unpack(day.candles, day.begins_ms).take(part) for day, part in self._parts(first, stop)]

    def metrics(self, first: int, stop: int) -> list[list[Floats]]:
        """Return the columns of metrics beside the candles in [first, stop), as parts."""
        return [[_unpacked(column, day.size)[part] for column in day.metrics] for day, part in self._parts(first, stop)]

    def _parts(self, first: int, stop: int) -> Iterator[tuple[_Day, slice]]:
        """Iterate over the days that hold candles in [first, stop), and where in the day those are."""
        begin = -self._forgotten
        for day in self._days:
            part = slice(max(first - begin, 0), min(stop - begin, day.size))
            if part.start < part.stop:
                yield day, part
            begin += day.size


def _packed(column: Floats) -> bytes:
    """Pack a column: its bytes by their place in the number, the highest ones packed, the others only where values recur."""
    planes = np.ascontiguousarray(column).astype("<f8").view(np.uint8).reshape(-1, 8).T
    plain = 0 if len(np.unique(column)) * _RECURRING <= len(column) else 8 - _TOP
    return bytes([plain]) + planes[:plain].tobytes() + zlib.compress(planes[plain:].tobytes())


def _unpacked(packed: bytes, size: int) -> Floats:
    begins = 1 + packed[0] * size
    planes = packed[1:begins] + zlib.decompress(packed[begins:])
    column = np.frombuffer(planes, np.uint8).reshape(8, size).T
    return np.ascontiguousarray(column).view("<f8")[:, 0].astype(np.float64, copy=False)
