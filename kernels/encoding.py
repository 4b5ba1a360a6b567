"""Candles to bits."""

from __future__ import annotations

import numpy as np

from kernels.types import Bits, Floats


def encode(close: Floats, high: Floats, low: Floats, volume: Floats) -> Bits:
    """Encode n candles as uint8[n-1] bits:

    1 where the close did not fall and the range (high - low) or the volume did not shrink.
    """
    held = close[1:] >= close[:-1]
    spread = high - low
    active = (spread[1:] >= spread[:-1]) | (volume[1:] >= volume[:-1])
    return np.asarray(held & active).view(np.uint8)
