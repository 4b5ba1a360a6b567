"""The same run through vectorbt and backtesting.py: their trades, to be held against ours, and what they cost.

Both are an extra (``pip install '.[rivals]'``). Neither knows a cooldown or a longest hold: what they lack is told to them candle
by candle, compiled for vectorbt, in Python for backtesting.py. Nothing may be held at the end, which each of them ends in its own way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kernels.backtest import CANDLE_MS, Bars, Rules, Signals

CASH = 1e6


class Fill(NamedTuple):
    """Where trades begin and end: candles and prices, columns of equal length."""

    side: Any
    entry_index: Any
    exit_index: Any
    entry: Any
    exit: Any


def vectorbt_run(bars: Bars, signals: Signals, rules: Rules) -> Callable[[], Fill]:
    """Return a run of vectorbt, compiled."""
    import numba
    import vectorbt as vbt
    from vectorbt.portfolio import nb

    t, opened = bars.t, bars.open
    hold, enter_wait, exit_wait = rules.max_hold_ms, rules.entry_cooldown_ms, rules.exit_cooldown_ms

    @numba.njit
    def order(c, t, opened, entry, direction, leave, hold, enter_wait, exit_wait, state):  # noqa: PLR0913, PLR0917
        i = c.i
        if i == 0:
            return nb.order_nothing_nb()
        now = t[i - 1] + CANDLE_MS
        if c.position_now != 0:
            side = 1 if c.position_now > 0 else -1
            if direction[i - 1] == -side or now - state[0] >= hold or leave[i - 1]:
                state[1] = t[i]
                return nb.order_nb(-c.position_now, opened[i])
            return nb.order_nothing_nb()
        cooled = now - state[0] >= enter_wait and now - state[1] >= exit_wait
        if entry[i - 1] != 0 and cooled:
            state[0] = t[i]
            return nb.order_nb(float(entry[i - 1]), opened[i])
        return nb.order_nothing_nb()

    def run() -> Fill:
        state = np.array([-(2**60), -(2**60)], dtype=np.int64)  # when the last trade began, and ended
        told = (t, opened, signals.entry, signals.direction, signals.leave, hold, enter_wait, exit_wait, state)
        found = vbt.Portfolio.from_order_func(bars.close, order, *told, init_cash=CASH, freq="1min").trades.records
        side = np.where(found["direction"] == 0, 1, -1)
        return Fill(side, *(found[name].to_numpy() for name in ("entry_idx", "exit_idx", "entry_price", "exit_price")))

    return run


def backtesting_run(bars: Bars, signals: Signals, rules: Rules) -> Callable[[], Fill]:
    """Return a run of backtesting.py."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    index = pd.to_datetime(bars.t, unit="ms")
    columns = {"Open": bars.open, "High": bars.high, "Low": bars.low, "Close": bars.close}
    frame = pd.DataFrame(columns, index=index)
    t, entry, direction, leave = (
        bars.t.tolist(),
        signals.entry.tolist(),
        signals.direction.tolist(),
        signals.leave.tolist(),
    )

    class Followed(Strategy):
        def init(self) -> None:
            self.entered = self.left = -(2**60)
            self.side = 0

        def next(self) -> None:
            i = len(self.data) - 1
            now = t[i] + CANDLE_MS
            if i + 1 >= len(t):
                return
            if self.side:
                if direction[i] == -self.side or now - self.entered >= rules.max_hold_ms or leave[i]:
                    self.position.close()
                    self.left, self.side = t[i + 1], 0
            elif (
                entry[i] and now - self.entered >= rules.entry_cooldown_ms and now - self.left >= rules.exit_cooldown_ms
            ):
                self.side, self.entered = entry[i], t[i + 1]
                (self.buy if self.side > 0 else self.sell)(size=1)

    def run() -> Fill:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Backtest(frame, Followed, cash=CASH, finalize_trades=True).run()["_trades"]
        found = found.sort_values("EntryBar")
        side = np.sign(found["Size"].to_numpy())
        return Fill(side, *(found[name].to_numpy() for name in ("EntryBar", "ExitBar", "EntryPrice", "ExitPrice")))

    return run
