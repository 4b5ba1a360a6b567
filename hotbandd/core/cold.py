"""The older days of a series, packed: of each candle only its minute is at hand, the rest is unpacked where it is asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hotbandd.core import packed_day
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Floats, Ints

Side = Literal["left", "right"]

_TOP: Final = 2  # bytes of a float that hold sign, exponent and the first digits: all that can be packed where no value comes twice
_RECURRING: Final = 4  # a column in which a value stands so often, on average, is packed whole
_DAY_MINUTES: Final = DAY_MS // MINUTE_MS


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
        self._minutes: NDArray[np.uint16] = np.empty(0, np.uint16)  # of the day, of each candle that is kept
        self._numbers = np.empty(0, np.int64)  # of the days, since 1970
        self._firsts = np.zeros(1, np.int64)  # index of each day's first candle, and of the one behind the last

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
        day = int(np.searchsorted(self._firsts, index, "right")) - 1
        return int(self._numbers[day]) * DAY_MS + int(self._minutes[index]) * MINUTE_MS

    def rank(self, moments: Ints, side: Side = "left") -> Ints:
        """Return how many candles open before each moment, or, with ``side`` right, at it or before."""
        if not self.size or not moments.size or int(moments.min()) >= self._days[-1].begins_ms + DAY_MS:
            return np.full(moments.shape, self.size)  # as is the rule
        day, minute = np.divmod(-(-moments // MINUTE_MS) if side == "left" else moments // MINUTE_MS + 1, _DAY_MINUTES)
        place = np.searchsorted(self._numbers, day)
        is_packed = np.append(self._numbers, -1)[place] == day
        low: Ints = self._firsts[place]
        high = np.where(is_packed, self._firsts[np.minimum(place + 1, len(self._numbers))], low)
        # No minute comes twice, so in a day that misses few of them there are few places left; those are halved together.
        low, high = np.maximum(low, high - (_DAY_MINUTES - minute)), np.minimum(high, low + minute)
        while (open_still := low < high).any():
            middle = (low + high) // 2
            earlier = open_still & (self._minutes[np.minimum(middle, self.size - 1)] < minute)
            low, high = np.where(earlier, middle + 1, low), np.where(open_still & ~earlier, middle, high)
        return low

    def append(self, begins_ms: int, candles: Candles, metrics: Sequence[Floats]) -> None:
        """Take in a day behind the others."""
        packed = tuple(map(_packed, metrics))
        self._days.append(_Day(begins_ms, candles.size, packed_day.pack(candles), packed))
        minutes = ((candles.t - begins_ms) // MINUTE_MS).astype(np.uint16)
        self._minutes = np.concatenate((self._minutes, minutes))
        self._count()

    def trim(self, gone: int) -> None:
        """Forget the oldest candles."""
        self._minutes = self._minutes[gone:]
        self._forgotten += gone
        while self._days and self._days[0].size <= self._forgotten:
            self._forgotten -= self._days.pop(0).size
            self._minutes = self._minutes.copy()  # what is forgotten is not held any more
        self._count()

    def _count(self) -> None:
        """Note where the days are."""
        sizes = np.array([0, *(day.size for day in self._days)], dtype=np.int64)
        self._firsts = np.maximum(np.cumsum(sizes) - self._forgotten, 0)
        self._numbers = np.array([day.begins_ms // DAY_MS for day in self._days], dtype=np.int64)

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
