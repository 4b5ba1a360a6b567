"""The repetition guard: an instrument is tradable while the patterns of the last hour keep coming back."""

from __future__ import annotations

import math

import numpy as np

from hotbandd.core.candles import MINUTE_MS, Ints

WINDOW_MIN = 60


def repetition_met(
    ts_ms: Ints,
    codes: Ints,
    hazard: float,
    now_ms: int,
    *,
    lookback_min: int,
    min_occurrences: int,
) -> bool:
    """Tell whether at least half of the signals of the last 60 minutes are repeated.

    A signal is repeated where its signature occurred often enough, itself included, in the ``lookback_min`` minutes up to it.
    ``ts_ms`` int64[k] stamps of signals in any order, UTC epoch ms; ``codes`` int64[k], equal for equal signatures, below 0 where there is none;
    ``hazard`` the newest one-minute lambda. Without a signal in the window the guard is not met.
    """
    known = (codes >= 0) & (ts_ms <= now_ms) & (ts_ms > now_ms - (WINDOW_MIN + lookback_min) * MINUTE_MS)
    ts, code = ts_ms[known], codes[known]
    recent = ts > now_ms - WINDOW_MIN * MINUTE_MS
    if not recent.any():
        return False
    age = ts[recent, None] - ts[None, :]
    same = (code[recent, None] == code[None, :]) & (age >= 0) & (age < lookback_min * MINUTE_MS)
    repeated = same.sum(axis=1) >= required_occurrences(
        hazard, lookback_min=lookback_min, min_occurrences=min_occurrences
    )
    return bool(2 * np.count_nonzero(repeated) >= len(repeated))


def required_occurrences(hazard: float, *, lookback_min: int, min_occurrences: int) -> int:
    """Return how often a signature has to occur: more often where a rupture within the look-back is likely; rounded half up."""
    over_lookback = 1.0 - (1.0 - hazard) ** lookback_min
    return math.floor(min_occurrences * (1.0 + over_lookback) + 0.5)
