"""Performance of a row of trades: drawdown, calmar and what else a summary tells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.types import Floats, Ints

CALMAR_LIMIT = 100.0
PROFIT_FACTOR_LIMIT = 1000.0
_MINUTE_MS = 60_000


class Performance(NamedTuple):
    """Figures of a row of trades; returns are log returns after cost."""

    trades: int
    win_rate: float
    pnl_total: float
    max_drawdown: float
    calmar: float
    profit_factor: float
    avg_hold_min: float
    exposure: float
    max_losing_streak: int


NO_TRADES = Performance(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)


def summary(ret: Floats, entry_ms: Ints, exit_ms: Ints, span_ms: int) -> Performance:
    """Sum trades up, given in the order of time, non-overlapping and inside a span of ``span_ms``.

    A trade wins where its return is above 0 and loses where it is below. ``exposure`` is the share of the span spent in a position.
    """
    if not len(ret):
        return NO_TRADES
    total = float(np.cumsum(ret)[-1])
    drawdown = max_drawdown(ret)
    held = exit_ms - entry_ms
    return Performance(
        trades=len(ret),
        win_rate=float(np.mean(ret > 0)),
        pnl_total=total,
        max_drawdown=drawdown,
        calmar=calmar(total, drawdown),
        profit_factor=profit_factor(ret),
        avg_hold_min=float(np.mean(held)) / _MINUTE_MS,
        exposure=min(1.0, float(np.sum(held)) / span_ms),
        max_losing_streak=max_losing_streak(ret),
    )


def max_drawdown(ret: Floats) -> float:
    """Return the largest fall, ≥ 0, of the cumulative return from its highest point so far, the start at 0 included."""
    if not len(ret):
        return 0.0
    equity = np.cumsum(ret)
    peak = np.maximum(np.maximum.accumulate(equity), 0.0)
    return float(np.max(peak - equity))


def calmar(pnl_total: float, drawdown: float) -> float:
    """Return pnl over drawdown, not annualised, within ±CALMAR_LIMIT; without drawdown the limit for a profit, else 0."""
    if drawdown <= 0:
        return CALMAR_LIMIT if pnl_total > 0 else 0.0
    if abs(pnl_total) >= CALMAR_LIMIT * drawdown:
        return CALMAR_LIMIT if pnl_total > 0 else -CALMAR_LIMIT
    return pnl_total / drawdown


def profit_factor(ret: Floats) -> float:
    """Return profits over losses, at most PROFIT_FACTOR_LIMIT; without losses the limit for a profit, else 0."""
    profit, loss = float(ret[ret > 0].sum()), float(-ret[ret < 0].sum())
    if profit >= PROFIT_FACTOR_LIMIT * loss:
        return PROFIT_FACTOR_LIMIT if profit > 0 else 0.0
    return profit / loss


def max_losing_streak(ret: Floats) -> int:
    """Return the length of the longest run of losing trades."""
    kept = np.flatnonzero(np.concatenate(([True], ret >= 0, [True])))
    return int(np.max(np.diff(kept))) - 1
