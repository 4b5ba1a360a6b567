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
    equity = np.cumsum(ret)
    total = float(equity[-1])
    drawdown = _fall(equity)
    held = int((exit_ms - entry_ms).sum())
    return Performance(
        trades=len(ret),
        win_rate=float(np.count_nonzero(ret > 0) / len(ret)),
        pnl_total=total,
        max_drawdown=drawdown,
        calmar=calmar(total, drawdown),
        profit_factor=profit_factor(ret),
        avg_hold_min=held / len(ret) / _MINUTE_MS,
        exposure=min(1.0, held / span_ms),
        max_losing_streak=max_losing_streak(ret),
    )


def max_drawdown(ret: Floats) -> float:
    """Return the largest fall, ≥ 0, of the cumulative return from its highest point so far, the start at 0 included."""
    return _fall(np.cumsum(ret)) if len(ret) else 0.0


def _fall(equity: Floats) -> float:
    peak = np.maximum(np.maximum.accumulate(equity), 0.0)
    return float((peak - equity).max())


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
    kept = np.ones(len(ret) + 2, dtype=np.bool_)
    np.greater_equal(ret, 0, out=kept[1:-1])
    at = kept.nonzero()[0]
    return int((at[1:] - at[:-1]).max()) - 1
