"""How much of a window's variation is slow."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kernels.types import Bits, Floats

_SILENT = 1e-12
_ROWS = 512  # windows that are transformed at once


def low_frequency_share(bits: Bits, m: int) -> Floats:
    """Return the share of power in the lowest quarter of the bins 1 … ⌊m/2⌋ of each window of m centred bits, float64[w].

    0 where the power is at most 1e-12, and where m < 4.
    """
    windows = sliding_window_view(bits, m) if len(bits) >= m else np.empty((0, m), dtype=np.uint8)
    share = np.zeros(len(windows))
    if m < 4:
        return share
    low = max(1, m // 2 // 4)
    for i in range(0, len(windows), _ROWS):
        block = windows[i : i + _ROWS].astype(np.float64)
        block -= block.mean(axis=1, keepdims=True)
        bins = np.fft.rfft(block, axis=1)[:, 1:]
        power = np.square(bins.real) + np.square(bins.imag)
        total = power.sum(axis=1)
        np.divide(power[:, :low].sum(axis=1), total, out=share[i : i + _ROWS], where=total > _SILENT)
    return share
