"""The one-minute hazard of a rupture: a rate of events over a trailing run of signals, as a probability."""

from __future__ import annotations

import numpy as np

from kernels.structure import DECIMALS
from kernels.types import Floats, Ints

BREAK = 0.95  # calibrated rupture from which a window counts as broken
_RESOLUTION = 10**DECIMALS
_SHORTEST_SEC = 1e-6


def crossing_hazard(rupture: Floats, window: int = 1440, *, newest: int | None = None) -> Floats:
    """Return 1 - exp(-n/T) at each signal: n upward crossings of R through 0.95 over the trailing T ≤ ``window`` signals, float64[w].

    ``newest``: only of so many signals at the end.
    """
    broken = rupture >= BREAK
    crossings = np.zeros(len(rupture), dtype=np.int64)
    (broken[1:] & ~broken[:-1]).cumsum(out=crossings[1:])
    last, first = _trailing(len(rupture), window, newest)
    return _probability((crossings[last] - crossings[first]) / (last - first + 1))


def event_hazard(rupture: Floats, t_ms: Ints, window: int = 1440, *, newest: int | None = None) -> Floats:
    """Return 1 - exp(-60 · ΣR / seconds) at each signal over its trailing ``window`` signals, float64[w].

    The first signal of a run only starts its clock. R is taken to nine decimals, and ``t_ms`` ascends, so that sums are exact.
    ``newest``: only of so many signals at the end.
    """
    total = np.rint(rupture * _RESOLUTION).astype(np.int64).cumsum()
    last, first = _trailing(len(rupture), window, newest)
    weight = (total[last] - total[first]) / _RESOLUTION
    seconds = (t_ms[last] - t_ms[first]) / 1000.0
    rate = np.divide(weight, seconds, out=np.zeros(len(last)), where=seconds > 0.0)
    return _probability(60.0 * rate)


def run_hazard(rupture: Floats, t_ms: Ints) -> float:
    """Return the event hazard of a whole run whose stamps may repeat or fall: each step counts at least a microsecond."""
    if len(rupture) < 2:
        return 0.0
    seconds = np.maximum(np.diff(t_ms) / 1000.0, _SHORTEST_SEC).sum()
    return float(np.clip(-np.expm1(-60.0 * rupture[1:].sum() / seconds), 0.0, 1.0))


def _probability(events: Floats) -> Floats:
    """Return the probability of at least one event where so many are expected, rounded."""
    probability: Floats = -np.expm1(-events)
    return probability.round(DECIMALS)


def _trailing(size: int, window: int, newest: int | None) -> tuple[Ints, Ints]:
    """Return the indices of the newest signals, and of the first signal that each of them looks back on."""
    last = np.arange(0 if newest is None else size - newest, size)
    return last, np.maximum(last - window + 1, 0)
