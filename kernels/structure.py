"""Four metrics of every window of candles, in either family."""

from __future__ import annotations

import numpy as np

from kernels import calibrated, native
from kernels.encoding import encode
from kernels.types import Family, Floats, Structure

__all__ = ["DECIMALS", "Family", "Structure", "measure", "rounded"]

DECIMALS = 9  # metrics are rounded before anything compares them, so that no order of a summation decides a trade


def measure(family: Family, close: Floats, high: Floats, low: Floats, volume: Floats, m: int = 128) -> Structure:
    """Measure n candles in windows of m steps: window i ends in candle i + m, w = max(0, n - m) windows.

    A window's metrics depend on its own candles alone, to the last bit.
    """
    if family == "calibrated":
        return rounded(calibrated.structure(close, m))
    return rounded(native.structure(encode(close, high, low, volume), m))


def rounded(structure: Structure) -> Structure:
    """Round metrics as they are compared and published."""
    return Structure(*(np.round(column, DECIMALS) for column in structure))
