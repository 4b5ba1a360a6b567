from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.backtest import OFF, REASONS, Bars, Rules, Signals, Trades, run
from tests.kernels import naive_backtest

MINUTE = 60_000


def rows(trades: Trades) -> list[dict[str, Any]]:
    listed = [
        dict(zip(Trades._fields, values, strict=True)) for values in zip(*(c.tolist() for c in trades), strict=True)
    ]
    return [row | {"reason": REASONS[row["reason"]]} for row in listed]


def bars_of(prices: list[tuple[float, float, float, float]], t: list[int] | None = None) -> Bars:
    table = np.array(prices, dtype=np.float64).reshape(len(prices), 4)
    minutes = np.arange(len(prices)) if t is None else np.array(t)
    return Bars(minutes.astype(np.int64) * MINUTE, *table.T.copy())


def flat(n: int, price: float = 1.0) -> list[tuple[float, float, float, float]]:
    return [(price, price, price, price)] * n


def signals_of(
    n: int, entry: dict[int, int] | None = None, direction: dict[int, int] | None = None, leave: tuple[int, ...] = ()
) -> Signals:
    columns = np.zeros((2, n), dtype=np.int8)
    for column, given_sides in zip(columns, (entry or {}, {**(entry or {}), **(direction or {})}), strict=True):
        for i, side in given_sides.items():
            column[i] = side
    leaving = np.zeros(n, dtype=np.bool_)
    leaving[list(leave)] = True
    return Signals(columns[0], columns[1], leaving)


def rules_of(**changed: Any) -> Rules:
    return Rules(**{"entry_cooldown_ms": MINUTE, "exit_cooldown_ms": MINUTE, "max_hold_ms": 240 * MINUTE} | changed)


# ---- random markets -------------------------------------------------------------------------------------------------


@st.composite
def markets(draw: st.DrawFn, max_size: int = 60) -> tuple[Bars, Signals, Rules]:
    n = draw(st.integers(0, max_size))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random_market(random, n, draw(rules()))


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    level = st.sampled_from([OFF, 1e-4, 2e-4, 5e-4, 2e-3])
    return Rules(
        entry_cooldown_ms=draw(st.sampled_from([0, 30_000, 60_000, 120_000, 600_000])),
        exit_cooldown_ms=draw(st.sampled_from([0, 59_999, 60_000, 60_001, 180_000])),
        max_hold_ms=draw(st.sampled_from([1, 2, 5, 30, 240])) * MINUTE,
        tp=draw(level),
        sl=draw(level),
        cost=draw(st.sampled_from([0.0, 1.6e-4])),
    )


def random_market(random: np.random.Generator, n: int, rules: Rules) -> tuple[Bars, Signals, Rules]:
    """Prices on a coarse grid, so that levels, opens and closes often meet; gaps, dead stretches and jumps included."""
    step = random.choice([0, 0, 1, 2, 8], n) * random.choice([-1, 1], n)
    close = np.exp(np.cumsum(step) * 1e-4)
    opened = np.concatenate(([1.0], close[:-1])) * np.exp(random.choice([0, 0, 0, -2, 2, 9], n) * 1e-4)[: max(n, 0)]
    opened = opened[:n]
    high = np.maximum(opened, close) * np.exp(random.choice([0, 0, 1, 3], n) * 1e-4)
    low = np.minimum(opened, close) * np.exp(-random.choice([0, 0, 1, 3], n) * 1e-4)
    t = np.cumsum(random.choice([1, 1, 1, 1, 2, 5, 3000], n)).astype(np.int64) * MINUTE
    direction = random.choice([0, 0, 0, 1, -1], n).astype(np.int8)
    leave = random.random(n) < random.choice([0.0, 0.1, 0.5])
    entry = np.where(random.random(n) < random.choice([0.2, 0.9]), direction, 0).astype(np.int8)
    return Bars(t, opened, high, low, close), Signals(entry, direction, leave), rules


@settings(max_examples=600, deadline=None)
@given(markets())
def test_the_trades_are_those_of_the_twin_to_the_last_field(market: tuple[Bars, Signals, Rules]) -> None:
    assert rows(run(*market)) == naive_backtest.run(*market)


def test_the_trades_of_long_runs_are_those_of_the_twin() -> None:
    random = np.random.default_rng(7)
    for level in (OFF, 3e-4, 3e-3):
        market = random_market(random, 5000, rules_of(tp=level, sl=level, cost=2e-4))
        found = rows(run(*market))
        assert len(found) > 100
        assert found == naive_backtest.run(*market)


def test_every_reason_is_seen_in_random_markets() -> None:
    random = np.random.default_rng(3)
    seen = set()
    for hold in (3, 240):
        for _ in range(40):
            market = random_market(random, 80, rules_of(tp=5e-4, sl=5e-4, max_hold_ms=hold * MINUTE))
            seen |= {row["reason"] for row in rows(run(*market))}
    assert seen == set(REASONS)


@settings(max_examples=200, deadline=None)
@given(markets())
def test_trades_never_overlap_and_keep_their_cooldowns(market: tuple[Bars, Signals, Rules]) -> None:
    bars, _, rules = market
    trades = run(*market)
    decided_ms = bars.t[trades.entry_index - 1] + MINUTE
    assert (trades.exit_ms >= trades.entry_ms).all()
    assert (trades.entry_index[1:] > trades.exit_index[:-1]).all()
    assert (decided_ms[1:] - trades.entry_ms[:-1] >= rules.entry_cooldown_ms).all()
    assert (decided_ms[1:] - trades.exit_ms[:-1] >= rules.exit_cooldown_ms).all()


@settings(max_examples=200, deadline=None)
@given(markets())
def test_an_entry_fills_at_the_open_of_the_candle_after_its_signal(market: tuple[Bars, Signals, Rules]) -> None:
    bars, signals, _ = market
    trades = run(*market)
    assert (trades.side == signals.entry[trades.entry_index - 1]).all()
    assert (trades.entry == bars.open[trades.entry_index]).all()
    assert (trades.entry_ms == bars.t[trades.entry_index]).all()


@settings(max_examples=200, deadline=None)
@given(markets(), st.data())
def test_no_past_trade_moves_with_the_future(market: tuple[Bars, Signals, Rules], data: st.DataObject) -> None:
    bars, signals, rules = market
    cut = data.draw(st.integers(0, len(bars.t)))
    other_bars, other_signals, _ = random_market(np.random.default_rng(cut), len(bars.t), rules)
    later = np.arange(len(bars.t)) >= cut
    moved = Bars(
        np.where(later, other_bars.t + bars.t.max(initial=0) + MINUTE, bars.t),
        *(np.where(later, theirs, ours) for theirs, ours in zip(other_bars[1:], bars[1:], strict=True)),
    )
    told = Signals(*(np.where(later, theirs, ours) for theirs, ours in zip(other_signals, signals, strict=True)))
    past = [row for row in rows(run(*market)) if row["exit_index"] < cut]
    assert past == [row for row in rows(run(moved, told, rules)) if row["exit_index"] < cut]


@settings(max_examples=200, deadline=None)
@given(markets())
def test_the_excursions_enclose_the_return_before_cost(market: tuple[Bars, Signals, Rules]) -> None:
    trades = run(*market)
    gross = trades.side * np.log(trades.exit / trades.entry)
    assert (trades.mae <= np.minimum(gross, 0)).all()
    assert (trades.mfe >= np.maximum(gross, 0)).all()


# ---- single rules, by hand ------------------------------------------------------------------------------------------


def only(bars: Bars, signals: Signals, rules: Rules) -> dict[str, Any]:
    (row,) = rows(run(bars, signals, rules))
    assert [row] == naive_backtest.run(bars, signals, rules)
    return row


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_is_traded_without_a_next_candle(n: int) -> None:
    entry = {0: 1} if n else {}
    assert run(bars_of(flat(n)), signals_of(n, entry), rules_of()).size == 0


def test_a_signal_on_the_last_candle_but_one_is_filled_and_ends_at_the_last_close() -> None:
    row = only(bars_of([*flat(1), (1.0, 1.2, 0.9, 1.1)]), signals_of(2, {0: 1}), rules_of(cost=0.01))
    assert (row["entry_ms"], row["exit_ms"], row["exit"], row["reason"]) == (MINUTE, 2 * MINUTE, 1.1, "end")
    assert row["ret"] == pytest.approx(np.log(1.1) - 0.01)
    assert (row["mae"], row["mfe"]) == pytest.approx((np.log(0.9), np.log(1.2)))


def test_equal_prices_cost_the_cost_and_nothing_else() -> None:
    row = only(bars_of(flat(400)), signals_of(400, {0: -1}), rules_of(tp=1e-4, sl=1e-4, cost=2e-4))
    assert (row["reason"], row["ret"], row["mae"], row["mfe"]) == ("max_hold", -2e-4, 0.0, 0.0)
    assert row["exit_ms"] - row["entry_ms"] == 240 * MINUTE


def test_a_fill_waits_for_the_next_candle_over_a_weekend() -> None:
    sunday = 10 + 48 * 60
    bars = bars_of([*flat(2), *flat(3, 2.0)], [9, 10, sunday, sunday + 1, sunday + 2])
    row = only(bars, signals_of(5, {1: 1}, {2: -1}), rules_of())
    assert (row["entry_ms"], row["entry"], row["reason"]) == (sunday * MINUTE, 2.0, "opposite")


def test_a_position_held_over_a_gap_leaves_at_the_first_close_after_its_time() -> None:
    bars = bars_of(flat(6), [0, 1, 2, 5000, 5001, 5002])
    row = only(bars, signals_of(6, {0: 1}), rules_of())
    assert (row["exit_ms"], row["reason"]) == (5001 * MINUTE, "max_hold")


@pytest.mark.parametrize("side", [1, -1])
def test_a_session_that_closes_ends_a_trade_at_the_next_open(side: int) -> None:
    row = only(bars_of(flat(6)), signals_of(6, {0: side}, leave=(2, 3)), rules_of())
    assert (row["exit_ms"], row["reason"]) == (3 * MINUTE, "session")


def test_the_opposite_signal_gives_the_reason_where_several_meet() -> None:
    signals = signals_of(6, {0: 1}, {2: -1}, leave=(2,))
    assert only(bars_of(flat(6)), signals, rules_of(max_hold_ms=2 * MINUTE))["reason"] == "opposite"
    signals = signals_of(6, {0: 1}, leave=(2,))
    assert only(bars_of(flat(6)), signals, rules_of(max_hold_ms=2 * MINUTE))["reason"] == "max_hold"


def test_the_stop_counts_where_both_levels_are_touched() -> None:
    bars = bars_of([*flat(2), (1.0, 1.01, 0.99, 1.0), *flat(1)])
    row = only(bars, signals_of(4, {0: 1}), rules_of(tp=1e-3, sl=1e-3))
    assert (row["reason"], row["exit_ms"]) == ("sl", 2 * MINUTE)
    assert row["ret"] == pytest.approx(-1e-3)
    assert (row["mae"], row["mfe"]) == (row["ret"], 0.0)


@pytest.mark.parametrize(
    ("side", "opened", "reason"), [(1, 0.9, "sl"), (1, 1.1, "tp"), (-1, 0.9, "tp"), (-1, 1.1, "sl")]
)
def test_an_open_beyond_a_level_fills_at_the_open(side: int, opened: float, reason: str) -> None:
    bars = bars_of([*flat(2), *flat(2, opened)])
    row = only(bars, signals_of(4, {0: side}), rules_of(tp=1e-3, sl=1e-3))
    assert (row["reason"], row["exit"], row["exit_ms"]) == (reason, opened, 2 * MINUTE)


def test_a_level_is_touched_from_the_entry_candle_on() -> None:
    bars = bars_of([*flat(1), (1.0, 1.0, 0.9, 1.0), *flat(2)])
    row = only(bars, signals_of(4, {0: 1}), rules_of(sl=1e-3))
    assert (row["entry_ms"], row["exit_ms"], row["reason"]) == (MINUTE, MINUTE, "sl")


def test_no_entry_is_decided_at_the_close_of_a_candle_that_held_a_position() -> None:
    bars = bars_of([*flat(2), (1.0, 1.0, 0.9, 1.0), *flat(4)])
    trades = run(bars, signals_of(7, {0: 1, 2: 1, 3: 1}), rules_of(sl=1e-3, exit_cooldown_ms=0))
    assert trades.entry_index.tolist() == [1, 4]


def test_a_position_that_ended_at_the_open_leaves_its_candle_free() -> None:
    signals = signals_of(8, {0: 1, 3: 1, 4: 1}, {2: -1})
    assert run(bars_of(flat(8)), signals, rules_of()).entry_index.tolist() == [1, 4]
    gap = bars_of([*flat(3), *flat(5, 0.9)])
    assert run(gap, signals_of(8, {0: 1, 3: 1}), rules_of(sl=1e-3)).entry_index.tolist() == [1, 4]


@pytest.mark.parametrize(("cooldown", "entered"), [(60_000, 4), (60_001, 5), (120_001, 6)])
def test_cooldowns_run_from_fill_to_decision(cooldown: int, entered: int) -> None:
    signals = signals_of(9, {0: 1, 3: 1, 4: 1, 5: 1}, {2: -1})
    trades = run(bars_of(flat(9)), signals, rules_of(exit_cooldown_ms=cooldown))
    assert trades.entry_index.tolist()[:2] == [1, entered]
    trades = run(bars_of(flat(9)), signals, rules_of(entry_cooldown_ms=cooldown + 2 * MINUTE))
    assert trades.entry_index.tolist()[:2] == [1, entered]
