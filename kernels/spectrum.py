"""How much of a window's variation is slow.

Bits times fixed-point weights are whole numbers below 2**53, so every sum of them is exact, in whatever order it is taken: a window's
share never depends on the windows that were transformed with it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from kernels.types import Bits, Floats, Ints
from kernels.windows import prefix, spanned

_SILENT = 1e-12
_ROWS = 512  # windows that are transformed at once
_COLUMNS = 3500  # windows that are joined at once: their sums stay in the cache
_UNIT = 2.0**44
_LARGEST = 256


def low_frequency_share(bits: Bits, m: int) -> Floats:
    """Return the share of power in the lowest quarter of the bins 1 … ⌊m/2⌋ of each window of m centred bits, float64[w, …].

    0 where the power is at most 1e-12, and where m < 4.
    """
    size = max(0, len(bits) - m + 1)
    if m < 4 or not size:
        return np.zeros((size, *bits.shape[1:]))
    if m % 4 or not 16 <= m <= _LARGEST:
        return _transformed(bits, m)
    return _by_quarters(bits, m, size)


def _transformed(bits: Bits, m: int) -> Floats:
    """Transform each window on its own."""
    windows = sliding_window_view(bits, m, axis=0)
    shape = windows.shape[:-1]
    rows = windows.reshape(-1, m)
    share = np.zeros(len(rows))
    low = _low_bins(m)
    for i in range(0, len(rows), _ROWS):
        block = rows[i : i + _ROWS].astype(np.float64)
        block -= block.mean(axis=1, keepdims=True)
        bins = np.fft.rfft(block, axis=1)[:, 1:]
        power = np.square(bins.real) + np.square(bins.imag)
        total = power.sum(axis=1)
        np.divide(power[:, :low].sum(axis=1), total, out=share[i : i + _ROWS], where=total > _SILENT)
    return share.reshape(shape)


def _by_quarters(bits: Bits, m: int, size: int) -> Floats:
    """Join each window's transform from those of its quarters, which it shares with other windows; the total comes from counts."""
    stride = bits[0].size
    rows = max(1, _COLUMNS // stride)
    room = _Room(m, stride, min(rows, size) * stride)
    share = np.zeros((size, *bits.shape[1:]))
    for start in range(0, size, rows):
        part = bits[start : start + rows + m - 1]
        low, total = room.low_power(part.reshape(-1)), _total_power(part, m)
        np.divide(low.reshape(total.shape), total, out=share[start : start + rows], where=total > 0)
    return share


def _total_power(bits: Bits, m: int) -> Ints:
    """Return twice the power of the bins 1 … m/2 of each window, by Parseval."""
    ones, alternating = (spanned(prefix(values), m, len(bits) - m + 1) for values in (bits, _alternated(bits)))
    return ones * (m - ones) + alternating * alternating


def _alternated(bits: Bits) -> NDArray[np.int8]:
    """Return the bits with the sign of every other one turned."""
    turned = bits.astype(np.int8)
    np.negative(turned[1::2], out=turned[1::2])
    return turned


class _Room:
    """Arrays to work in, used block after block: they stay in the cache."""

    def __init__(self, m: int, stride: int, windows: int) -> None:
        self._m, self._stride = m, stride
        self._weights = _weights(m)
        self._edges = _edges(len(self._weights))
        reach = windows + 3 * m // 4 * stride if windows > m // 4 * stride else windows
        rows = len(self._weights)
        self._bits = np.empty((m // 4, reach))
        self._quarters, self._halves = np.empty((2, rows, reach))

    def low_power(self, flat: Bits) -> Floats:
        """Return twice the power in the low bins of windows in a row; the next call overwrites it.

        The transform of a window is that of its parts, each turned by where it begins: by powers of -i between quarters, of -1 between
        halves.
        """
        windows, quarter = len(flat) - (self._m - 1) * self._stride, self._m // 4 * self._stride
        transform = self._shared if windows > quarter else self._alone
        whole = transform(flat, windows, quarter)
        np.multiply(whole, whole, out=whole)
        rows = len(whole)
        while rows > 1:  # added in pairs, in one order however many windows there are
            folded = rows // 2
            whole[:folded] += whole[rows - folded : rows]
            rows -= folded
        power: Floats = whole[0]
        power *= 2.0 / (_UNIT * _UNIT)
        return power

    def _shared(self, flat: Bits, windows: int, quarter: int) -> Floats:
        """Transform windows whose quarters are quarters of others as well."""
        first = self._quarter(flat, windows + 3 * quarter, self._quarters)
        half = self._halves[:, : windows + 2 * quarter]
        self._join_quarters(first[:, :-quarter], first[:, quarter:], half)
        whole = self._quarters[:, :windows]
        self._join_halves(half[:, :windows], half[:, 2 * quarter :], whole)
        return whole

    def _alone(self, flat: Bits, windows: int, quarter: int) -> Floats:
        """Transform fewer windows than would share a quarter."""
        shape = (len(self._weights), windows)
        halves = []
        for i in (0, 2):
            parts = [self._quarter(flat[(i + j) * quarter :], windows, np.empty(shape)) for j in (0, 1)]
            halves.append(np.empty(shape))
            self._join_quarters(parts[0], parts[1], halves[-1])
        whole = np.empty(shape)
        self._join_halves(halves[0], halves[1], whole)
        return whole

    def _quarter(self, flat: Bits, columns: int, out: Floats) -> Floats:
        """Transform the quarter windows that begin at each of some places in a row, float64[2 · bins, columns]."""
        item = flat.itemsize
        bits, transformed = self._bits[:, :columns], out[:, :columns]
        np.copyto(bits, as_strided(flat, bits.shape, (self._stride * item, item)))
        return np.matmul(self._weights, bits, out=transformed)

    def _join_quarters(self, left: Floats, right: Floats, out: Floats) -> None:
        """Set X + (-i)^k Y, rows as ``_weights`` orders them."""
        a, b, c = self._edges
        np.add(left[:a], right[:a], out=out[:a])
        np.subtract(left[a:b], right[a:b], out=out[a:b])
        np.add(left[b:c], right[c:], out=out[b:c])
        np.subtract(left[c:], right[b:c], out=out[c:])

    def _join_halves(self, left: Floats, right: Floats, out: Floats) -> None:
        """Set X + (-1)^k Y."""
        b = self._edges[1]
        np.add(left[:b], right[:b], out=out[:b])
        np.subtract(left[b:], right[b:], out=out[b:])


def _low_bins(m: int) -> int:
    return max(1, m // 2 // 4)


@lru_cache(maxsize=64)
def _edges(rows: int) -> tuple[int, int, int]:
    """Return where the second, third and fourth group of rows begin."""
    k = np.arange(1, rows // 2 + 1)
    a = 2 * int(np.count_nonzero(k % 4 == 0))
    b = a + 2 * int(np.count_nonzero(k % 4 == 2))
    return a, b, b + int(np.count_nonzero(k % 2))


@lru_cache(maxsize=64)
def _weights(m: int) -> Floats:
    """Return cosines and sines of the low bins over a quarter window, as whole multiples of 1 / _UNIT, float64[2 · bins, m / 4].

    Rows, Re and Im of bin k: first k ≡ 0 (mod 4), both; then k ≡ 2, both; then Re of k ≡ 1 and Im of k ≡ 3; last their counterparts. So
    a turn by (-i)^k is an addition or a subtraction of a whole group.
    """
    k = np.arange(1, _low_bins(m) + 1)
    angle = 2.0 * np.pi / m * np.outer(k, np.arange(m // 4))
    real, imaginary = np.cos(angle), -np.sin(angle)
    of = [k % 4 == rest for rest in range(4)]
    groups = (real[of[0]], imaginary[of[0]], real[of[2]], imaginary[of[2]])
    turned = (real[of[1]], imaginary[of[3]], imaginary[of[1]], real[of[3]])
    return np.rint(np.concatenate((*groups, *turned)) * _UNIT)
