"""Sums over sliding windows, and the events that the bits of a window hold.

Arrays run in time along their first axis; a second one, where there is one, runs over instruments of the same length. Window i of m
values covers values i … i + m - 1. Counts are integers, so a window's count never depends on where the array begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.types import Bits, Ints

BLOCK = 32768  # windows that are worked on at once, so that some columns of them stay in the cache


def blocks(windows: int, width: int) -> Iterator[slice]:
    """Iterate over the windows of ``width`` instruments in blocks that stay in the cache."""
    rows = max(1, BLOCK // width)
    for start in range(0, windows, rows):
        yield slice(start, min(start + rows, windows))


def prefix(values: Bits | NDArray[np.bool_] | NDArray[np.int8]) -> Ints:
    """Return the sum of the values before each place, int64[n+1, …]."""
    total = np.zeros((len(values) + 1, *values.shape[1:]), dtype=np.int64)
    values.cumsum(axis=0, out=total[1:])
    return total


def spanned(total: Ints, size: int, windows: int, start: int = 0) -> Ints:
    """Return, from ``prefix``, the sum of the ``size`` values that begin ``start`` after each window's own beginning, int64[windows, …]."""
    return total[start + size : start + size + windows] - total[start : start + windows]


def count(values: Bits | NDArray[np.bool_], m: int) -> Ints:
    """Return the number of ones in each window of m values, int64[n-m+1, …]."""
    return spanned(prefix(values), m, len(values) - m + 1)


class Events(NamedTuple):
    """Pairs of neighbouring bits in each window, int64[w, …]: flips (01, 10) and ruptures (11); the rest are nulls (00)."""

    flips: Ints
    ruptures: Ints


def events(bits: Bits, sizes: tuple[int, ...], windows: int) -> list[Events]:
    """Count the events among the neighbouring pairs of the first bits of each window: as many bits as each of the sizes says."""
    before, after = bits[:-1], bits[1:]
    flips, ruptures = prefix(before ^ after), prefix(before & after)
    return [Events(spanned(flips, size - 1, windows), spanned(ruptures, size - 1, windows)) for size in sizes]


def octets(flat: Bits, stride: int) -> Bits:
    """Return at each place the eight bits from it on, ``stride`` apart, as one number, first bit lowest, zeros past the end."""
    packed = flat.copy()
    for r in range(1, 8):
        if r * stride < len(flat):
            packed[: len(flat) - r * stride] |= flat[r * stride :] << np.uint8(r)
    return packed
