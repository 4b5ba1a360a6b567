"""Candles for tests: walks on a tick grid, and the recorded ones."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st


class Bars(NamedTuple):
    close: np.ndarray
    high: np.ndarray
    low: np.ndarray
    volume: np.ndarray

    def take(self, index) -> Bars:
        return Bars(*(column[index] for column in self))


def walk(seed: int, n: int, *, spread: int = 3, still: float = 0.2, drift: float = 0.0) -> Bars:
    """A walk of n candles in steps of whole ticks, a share of which is 0."""
    rng = np.random.default_rng(seed)
    steps = np.rint(rng.normal(drift * spread, spread, n)) * (rng.random(n) >= still)
    close = (100_000 + np.cumsum(steps)) / 1e5
    high = close + rng.integers(0, 5, n) / 1e5
    low = close - rng.integers(0, 5, n) / 1e5
    return Bars(close, high, low, rng.integers(0, 20, n).astype(np.float64))


def walks(min_size: int = 0, max_size: int = 400):
    """A strategy of walks from dead to lively, with and without drift."""
    return st.builds(
        walk,
        st.integers(0, 2**32 - 1),
        st.integers(min_size, max_size),
        spread=st.integers(1, 9),
        still=st.sampled_from([0.0, 0.2, 0.6, 0.75, 0.95, 1.0]),
        drift=st.sampled_from([0.0, 0.2, -1.0]),
    )


@lru_cache(maxsize=4)
def recorded(file: Path) -> Bars:
    """The candles of one recorded file."""
    columns = np.loadtxt(file, delimiter=",", skiprows=1, usecols=(4, 2, 3, 5)).T
    return Bars(*(np.ascontiguousarray(column) for column in columns))
