"""Four metrics of every window of candles, in either family."""

from __future__ import annotations

from kernels import calibrated, native
from kernels.encoding import encode
from kernels.types import Family, Floats, Structure

__all__ = ["DECIMALS", "Family", "Structure", "measure"]

DECIMALS = 9  # metrics are rounded before anything compares them, so that no order of a summation decides a trade


def measure(family: Family, close: Floats, high: Floats, low: Floats, volume: Floats, m: int = 128) -> Structure:
    """Measure n candles, float64[n, …], in windows of m steps: window i ends in candle i + m, w = max(0, n - m) windows.

    A second axis runs over instruments of as many candles.
    A window's metrics depend on its own candles alone, to the last bit.
    """
    if family == "calibrated":
        return calibrated.structure(close, m, decimals=DECIMALS)
    return native.structure(encode(close, high, low, volume), m, decimals=DECIMALS)
