"""Regimes: how an instrument behaves for days to weeks.

Time is cut into eras of twenty trading days (four weeks). In each an instrument has two or three regimes, at least four days each,
drawn from the seed; neighbouring ones differ within an era.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

import numpy as np

from hotbandd.adapters.simulator.defaults import DEFAULT_SEED
from hotbandd.adapters.simulator.draws import Draws
from hotbandd.adapters.simulator.weeks import day_at

ERA_DAYS = 20
_SHORTEST = 4


class Regime(StrEnum):
    """How an instrument moves."""

    TRENDING = "trending"
    REVERTING = "mean-reverting"
    DEAD = "dead"


_SHARES = {Regime.TRENDING: 0.5, Regime.REVERTING: 0.3, Regime.DEAD: 0.2}


def regime(seed: int, instrument: str, day: int) -> Regime:
    """Return the regime of a trading day, counted from the first."""
    era, within = divmod(day, ERA_DAYS)
    return _era(seed, instrument, era)[within]


@lru_cache(maxsize=1024)
def _era(seed: int, instrument: str, era: int) -> tuple[Regime, ...]:
    cut, half, *picks = Draws(seed, instrument, "regimes", era).uniform(5).tolist()
    first = _SHORTEST + int(cut * (ERA_DAYS - 2 * _SHORTEST))
    rest = ERA_DAYS - first
    second = rest // 2 if rest >= 2 * _SHORTEST and half < 0.5 else rest
    days: list[Regime] = []
    for length, pick in zip((first, second, rest - second), picks, strict=True):
        days += [_pick(pick, days[-1] if days else None)] * length
    return tuple(days)


def _pick(uniform: float, but: Regime | None) -> Regime:
    choices = [(kind, share) for kind, share in _SHARES.items() if kind is not but]
    edges = np.cumsum([share for _, share in choices])
    return choices[int(np.searchsorted(edges, uniform * edges[-1]))][0]


def describe(instrument: str, t_ms: int, seed: int = DEFAULT_SEED) -> Regime:
    """Return the regime of a moment."""
    return regime(seed, instrument, day_at(t_ms))
