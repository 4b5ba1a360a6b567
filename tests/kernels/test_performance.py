from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import performance
from kernels.performance import NO_TRADES, Performance

MINUTE = 60_000
DAY = 1440 * MINUTE

returns = st.lists(st.floats(-0.05, 0.05).map(lambda x: round(x, 6)), max_size=40)


def summed(ret: list[float], hold_min: int = 30) -> Performance:
    entry = np.arange(len(ret), dtype=np.int64) * 60 * MINUTE
    return performance.summary(np.array(ret, dtype=np.float64), entry, entry + hold_min * MINUTE, 14 * DAY)


def naive(ret: list[float]) -> dict[str, float]:
    equity = peak = drawdown = 0.0
    streak = longest = 0
    for x in ret:
        equity += x
        peak = max(peak, equity)
        drawdown = max(drawdown, peak - equity)
        streak = streak + 1 if x < 0 else 0
        longest = max(longest, streak)
    profit, loss = sum(x for x in ret if x > 0), -sum(x for x in ret if x < 0)
    ratio = equity / drawdown if drawdown > 0 else math.inf if equity > 0 else 0.0
    return {
        "trades": len(ret),
        "win_rate": sum(x > 0 for x in ret) / len(ret) if ret else 0.0,
        "pnl_total": equity,
        "max_drawdown": drawdown,
        "calmar": min(100.0, max(-100.0, ratio)),
        "profit_factor": min(1000.0, profit / loss) if loss else (1000.0 if profit else 0.0),
        "avg_hold_min": 30.0 if ret else 0.0,
        "exposure": len(ret) * 30 / (14 * 1440),
        "max_losing_streak": longest,
    }


@given(returns)
def test_the_summary_is_that_of_the_twin(ret: list[float]) -> None:
    assert summed(ret)._asdict() == pytest.approx(naive(ret), rel=1e-9, abs=1e-12)


@given(returns)
def test_the_figures_stay_within_their_bounds(ret: list[float]) -> None:
    found = summed(ret)
    assert 0 <= found.win_rate <= 1
    assert found.max_drawdown >= max(0.0, -found.pnl_total)
    assert -100 <= found.calmar <= 100
    assert 0 <= found.profit_factor <= 1000
    assert all(math.isfinite(x) for x in found)


def test_figures_are_plain_numbers_that_any_document_can_hold() -> None:
    found = performance.summary(np.array([0.1, -0.2, 0.3]), np.arange(3) * 60_000, np.arange(1, 4) * 60_000, 86_400_000)
    assert [type(value) for value in found] == [int] + [float] * 7 + [int]


def test_no_trades_give_zeros() -> None:
    assert summed([]) == NO_TRADES == Performance(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)


def test_the_drawdown_starts_at_zero() -> None:
    assert summed([-0.02, 0.05]).max_drawdown == pytest.approx(0.02)


def test_a_profit_without_drawdown_has_the_largest_calmar_and_profit_factor() -> None:
    found = summed([0.01, 0.0, 0.02])
    assert (found.max_drawdown, found.calmar, found.profit_factor) == (0.0, 100.0, 1000.0)


def test_trades_that_neither_win_nor_lose_have_no_calmar() -> None:
    found = summed([0.0, 0.0])
    assert (found.calmar, found.profit_factor, found.win_rate, found.max_losing_streak) == (0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize(("ret", "calmar"), [([-1e-9, 0.5], 100.0), ([-0.01], -1.0), ([0.03, -0.01], 2.0)])
def test_calmar_is_profit_over_drawdown_within_its_limits(ret: list[float], calmar: float) -> None:
    assert summed(ret).calmar == pytest.approx(calmar)


def test_the_tiniest_drawdown_divides_nothing_by_zero() -> None:
    assert performance.calmar(1.0, 5e-324) == 100.0
    assert performance.calmar(-1.0, 5e-324) == -100.0
    assert performance.profit_factor(np.array([1.0, -5e-324])) == 1000.0


def test_a_losing_streak_is_broken_by_a_trade_that_does_not_lose() -> None:
    assert summed([-1, -1, 0, -1, -1, -1, 1, -1]).max_losing_streak == 3


def test_exposure_is_the_share_of_the_span_in_a_position() -> None:
    assert summed([0.01] * 14, hold_min=36).exposure == pytest.approx(36 / 1440)
