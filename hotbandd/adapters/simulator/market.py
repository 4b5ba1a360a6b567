"""One FX week of one instrument, minute by minute, from its seed alone.

A week's path ends where the next one begins (less the weekend's gap), because both levels come from the same slow waves
and not from the path: any week can be made without those before it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hotbandd.adapters.simulator.draws import Draws
from hotbandd.adapters.simulator.pairs import Profile, profile
from hotbandd.adapters.simulator.regimes import Regime, regime
from hotbandd.adapters.simulator.weeks import DAY_MINUTES, DAYS, MINUTES, holidays, week_open
from hotbandd.core.candles import MINUTE_MS, Candles, Floats, Mask

_KEPT_WEEKS = 16  # the present weeks of two desks of eight pairs
_MISSING = 0.22  # share of minutes without a quote where nothing moves; back-tests want four fifths of them

_BASE_ACTIVITY = 0.30
_TOKYO = (3.5, 2.2, 0.30)  # hours after 17:00 New York, width in hours, height
_LONDON = (10.5, 1.8, 0.70)
_OVERLAP = (15.5, 2.2, 0.90)

_DEAD_SCALE = 0.10
_TREND_DRIFT = 0.18  # of the minute's own volatility
_TREND_HOURS = (3.0, 9.0)  # how long a drift keeps its sign
_REVERSION = 0.95  # share of a displacement that is left after a minute
_REVERSION_TAPS = 128
_JUMP_SHARE, _JUMP_SCALE = 0.012, 3.0
_WAVES = ((61.0, 350.0), (23.0, 90.0), (7.0, 25.0))  # period in weeks, amplitude in bps
_WEEKEND_GAP = 9.0  # bps


@lru_cache(maxsize=_KEPT_WEEKS)
def week_of(seed: int, instrument: str, week: int) -> Candles:
    """Return the candles of a week; read-only columns."""
    pair = profile(instrument)
    draws = Draws(seed, instrument, "minutes", week)
    kinds = [regime(seed, instrument, week * DAYS + day) for day in range(DAYS)]
    activity = _activity(pair.asia) * _bursts(draws) * np.repeat([_liveliness(kind) for kind in kinds], DAY_MINUTES)
    volatility = pair.volatility * activity
    path = _bridged(_steps(draws, kinds, volatility), volatility, _ends(seed, instrument, week))
    candles = _candles(draws, pair, path, volatility, week_open(week))
    kept = candles.take(_quoted(draws, activity, week))
    for column in kept:
        column.flags.writeable = False
    return kept


def _liveliness(kind: Regime) -> float:
    return _DEAD_SCALE if kind is Regime.DEAD else 1.0


@lru_cache(maxsize=16)
def _activity(asia: float) -> Floats:
    """Return the rhythm of the day over a week: about 1.2 where London and New York overlap, 0.3 after New York's close."""
    hours = np.arange(DAY_MINUTES) / 60.0
    day = np.full(DAY_MINUTES, _BASE_ACTIVITY)
    for (centre, width, height), share in ((_TOKYO, asia), (_LONDON, 1.0), (_OVERLAP, 1.0)):
        away = (hours - centre + 12.0) % 24.0 - 12.0
        day += height * share * np.exp(-0.5 * (away / width) ** 2)
    rhythm: Floats = np.tile(day, DAYS)
    return rhythm


def _bursts(draws: Draws) -> Floats:
    """Return clusters of volatility: an autoregression by the hour, laid over the minutes."""
    hours = MINUTES // 60 + 1
    log_level, levels = 0.0, []
    for shock in draws.normal(hours).tolist():
        log_level = 0.8 * log_level + 0.12 * shock
        levels.append(log_level)
    bursts: Floats = np.exp(np.interp(np.arange(MINUTES) / 60.0, np.arange(hours), levels))
    return bursts


def _steps(draws: Draws, kinds: list[Regime], volatility: Floats) -> Floats:
    """Return one step per minute in bps: fat-tailed noise, with a drift while trending, undone bit by bit while reverting."""
    jumps = np.where(draws.uniform(MINUTES) < _JUMP_SHARE, _JUMP_SCALE, 1.0)
    noise = volatility * draws.normal(MINUTES) * jumps / np.sqrt(1 + _JUMP_SHARE * (_JUMP_SCALE**2 - 1))
    trending = np.repeat([kind is Regime.TRENDING for kind in kinds], DAY_MINUTES)
    reverting = np.repeat([kind is Regime.REVERTING for kind in kinds], DAY_MINUTES)
    drift = np.where(trending, _TREND_DRIFT * volatility * _signs(draws), 0.0)
    echo = _REVERSION ** np.arange(_REVERSION_TAPS)
    displaced = np.convolve(np.where(reverting, noise, 0.0), echo)[:MINUTES]
    return np.where(reverting, 0.0, noise) + drift + np.diff(displaced, prepend=0.0)


def _signs(draws: Draws) -> Floats:
    """Return +1 and −1 in turn, each for some hours."""
    shortest, longest = _TREND_HOURS
    hours = shortest + (longest - shortest) * draws.uniform(MINUTES // int(60 * shortest) + 1)
    lengths = (60 * hours).astype(np.int64)
    first = 1.0 if draws.uniform(1)[0] < 0.5 else -1.0
    turns = np.where(np.arange(len(lengths)) % 2 == 0, first, -first)
    return np.repeat(turns, lengths)[:MINUTES]


def _ends(seed: int, instrument: str, week: int) -> tuple[float, float]:
    """Return where a week opens and closes, in bps about the instrument's level."""
    gap = _WEEKEND_GAP * float(Draws(seed, instrument, "gap", week).normal(1)[0])
    return _wave(seed, instrument, week) + gap, _wave(seed, instrument, week + 1)


def _wave(seed: int, instrument: str, week: int) -> float:
    phases = Draws(seed, instrument, "waves").uniform(len(_WAVES)).tolist()
    waves = zip(_WAVES, phases, strict=True)
    return sum(height * math.sin(2 * math.pi * (week / period + phase)) for (period, height), phase in waves)


def _bridged(steps: Floats, volatility: Floats, ends: tuple[float, float]) -> Floats:
    """Lead the path from the week's open to its close, spreading what is missing over the minutes as they are lively.

    MINUTES + 1 values in bps: the open, and each minute's close.
    """
    start, stop = ends
    missing = (stop - start) - steps.sum()
    return start + np.concatenate(([0.0], np.cumsum(steps + missing * volatility / volatility.sum())))


def _candles(draws: Draws, pair: Profile, path: Floats, volatility: Floats, open_ms: int) -> Candles:
    tick = 10.0**-pair.decimals
    opened, closed = path[:-1] + 0.05 * volatility * draws.normal(MINUTES), path[1:]
    high = np.maximum(opened, closed) + 0.4 * volatility * np.abs(draws.normal(MINUTES))
    low = np.minimum(opened, closed) - 0.4 * volatility * np.abs(draws.normal(MINUTES))
    o, h, l_, c = (np.round(pair.level * np.exp(x / 1e4), pair.decimals) for x in (opened, high, low, closed))
    lively = volatility / pair.volatility
    half = np.ceil(pair.level * 0.5e-4 * pair.spread * (0.8 + 0.2 / np.maximum(lively, 0.2)) / tick - 1e-9) * tick
    moved = np.abs(closed - opened) / np.maximum(volatility, 1e-9)
    volume = np.maximum(1.0, np.round(pair.ticks * lively * (0.5 + 0.6 * moved) * (0.6 + 0.8 * draws.uniform(MINUTES))))
    t = open_ms + MINUTE_MS * np.arange(MINUTES, dtype=np.int64)
    bid, ask = np.round(c - half, pair.decimals), np.round(c + half, pair.decimals)
    return Candles(t, o, h, l_, c, volume, bid, ask)


def _quoted(draws: Draws, activity: Floats, week: int) -> Mask:
    """Tell the minutes that had a quote: quiet ones often have none, a feed fails now and then, holidays are closed."""
    quoted = draws.uniform(MINUTES) > _MISSING * np.exp(-activity / 0.15) + 0.002
    for day, (fails, at, length) in enumerate(draws.uniform(3 * DAYS).reshape(DAYS, 3).tolist()):
        if fails < 0.12:
            first = day * DAY_MINUTES + int(at * DAY_MINUTES)
            quoted[first : first + 5 + int(40 * length)] = False
    for day in holidays(week):
        quoted[day * DAY_MINUTES : (day + 1) * DAY_MINUTES] = False
    return quoted
