"""Volatility of closes."""

from __future__ import annotations

import numpy as np

from kernels.types import Floats


def sigma_eff(close: Floats) -> float:
    """Return the sample standard deviation (n - 1) of log close-to-close returns, per candle.

    Pairs whose return does not exist (a price at or below 0, a ratio that overflows) are left out. 0 with fewer than two returns or three candles.
    """
    before, after = close[:-1], close[1:]
    priced = (before > 0.0) & (after > 0.0)
    with np.errstate(over="ignore", under="ignore"):
        ratio = after[priced] / before[priced]
    ratio = ratio[np.isfinite(ratio) & (ratio > 0.0)]
    if len(close) < 3 or len(ratio) < 2:
        return 0.0
    return float(np.std(np.log(ratio), ddof=1))
