"""Sums over sliding windows, and the events that the bits of a window hold.

Window i of m values covers values i … i + m - 1. Counts are integers, so a window's count never depends on where the array begins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.types import Bits, Ints

BLOCK = 4096  # windows that are worked on at once, so that a column of them stays in the cache


def count(values: Bits | NDArray[np.bool_], m: int) -> Ints:
    """Return the number of ones in each window of m values, int64[n-m+1]."""
    total = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=total[1:])
    return total[m:] - total[: len(total) - m]


class Events(NamedTuple):
    """Pairs of neighbouring bits in each window, int64[w]: flips (01, 10) and ruptures (11); the rest are nulls (00)."""

    flips: Ints
    ruptures: Ints


def events(bits: Bits, m: int) -> Events:
    """Count the events among the m - 1 neighbouring pairs of each window of m >= 1 bits."""
    before, after = bits[:-1], bits[1:]
    return Events(count(before ^ after, m - 1), count(before & after, m - 1))


def octets(bits: Bits) -> Bits:
    """Return at each position the eight bits from it on as one number, first bit lowest, zeros past the end."""
    packed = np.zeros(len(bits), dtype=np.uint8)
    for r in range(min(8, len(bits))):
        packed[: len(bits) - r] |= bits[r:] << np.uint8(r)
    return packed
