"""What comes next in a column: the next true value, and the first touch of a level."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kernels.types import Floats, Ints

Mask = NDArray[np.bool_]

_FEW = 16  # a search costs about as much as counting this many candles
_READ = 2  # how often all candles are read through, on the whole, before it is better to halve


class Ahead:
    """The true values of a mask of length n, asked for from many places."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self.places: Ints = np.flatnonzero(mask)
        self._counts: NDArray[np.int32] | None = None

    @cached_property
    def _padded(self) -> Ints:
        return np.append(self.places, len(self._mask))

    def before(self, at: Ints) -> Ints:
        """Return how many true values stand before each index in [0, n]."""
        if self._counts is None and len(at) * _FEW < len(self._mask):
            found: Ints = np.searchsorted(self.places, at)
            return found
        if self._counts is None:
            self._counts = np.zeros(len(self._mask) + 1, dtype=np.int32)
            np.cumsum(self._mask, dtype=np.int32, out=self._counts[1:])
        return self._counts[at].astype(np.int64)

    def next(self, at: Ints) -> Ints:
        """Return the first true index at or after each index in [0, n], n where there is none."""
        return self._padded[self.before(at)]


class Touches:
    """Lows and highs of n candles, in which the first touch of a level is looked up for many positions at once.

    Few short holds are read through. For more, the lowest lows and highest highs over 1, 2, 4, … candles from each on are
    built once, as far as they are asked for (2·n floats a level), so that a touch is found by halving.
    """

    def __init__(self, low: Floats, high: Floats) -> None:
        self._lows, self._highs = [low], [high]

    def first(self, first: Ints, stop: Ints, lower: Floats, upper: Floats) -> Ints:
        """Return the first candle in [first, stop) with low <= lower or high >= upper, ``stop`` where there is none."""
        if not len(first):
            return first
        held = stop - first
        if len(self._lows) == 1 and int(held.sum()) < _READ * len(self._lows[0]):
            return self._read(first, held, lower, upper)
        return self._halved(first, stop, lower, upper, int(held.max()).bit_length())

    def _read(self, first: Ints, held: Ints, lower: Floats, upper: Floats) -> Ints:
        ends = np.cumsum(held)
        candles = np.arange(ends[-1]) + np.repeat(first - ends + held, held)
        touched = self._lows[0][candles] <= np.repeat(lower, held)
        touched |= self._highs[0][candles] >= np.repeat(upper, held)
        found = np.append(np.flatnonzero(touched), len(touched))
        ahead = found[np.searchsorted(found, ends - held)] - (ends - held)
        result: Ints = first + np.minimum(ahead, held)
        return result

    def _halved(self, first: Ints, stop: Ints, lower: Floats, upper: Floats, levels: int) -> Ints:
        at = first.copy()
        for level in reversed(range(levels)):
            low, high = self._level(level)
            ahead = at + (1 << level)
            held = np.flatnonzero(ahead <= stop)
            here = at[held]
            free = held[(low[here] > lower[held]) & (high[here] < upper[held])]
            at[free] = ahead[free]
        return at

    def _level(self, level: int) -> tuple[Floats, Floats]:
        while len(self._lows) <= level:
            half = 1 << (len(self._lows) - 1)
            self._lows.append(np.minimum(self._lows[-1][:-half], self._lows[-1][half:]))
            self._highs.append(np.maximum(self._highs[-1][:-half], self._highs[-1][half:]))
        return self._lows[level], self._highs[level]
