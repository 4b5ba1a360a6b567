"""The slow, obvious twin of the back-test: candle by candle, as the rules are told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.backtest import Bars, Rules, Signals


@dataclass
class Position:
    side: int
    entry_index: int
    entry_ms: int
    entry: float
    prices_seen: list[float] = field(default_factory=list)


@dataclass
class Account:
    bars: Bars
    rules: Rules
    position: Position | None = None
    pending_entry: int = 0
    pending_exit: str = ""
    last_entry_ms: int | None = None
    last_exit_ms: int | None = None
    trades: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, i: int) -> None:
        self.position = Position(self.pending_entry, i, int(self.bars.t[i]), float(self.bars.open[i]))
        self.last_entry_ms = self.position.entry_ms
        self.pending_entry = 0

    def leave(self, i: int, at_ms: int, price: float, reason: str) -> None:
        p = self.position
        assert p is not None
        returns = [p.side * float(np.log(x / p.entry)) for x in (p.entry, price, *p.prices_seen)]
        self.trades.append(
            {
                "side": p.side,
                "entry_index": p.entry_index,
                "exit_index": i,
                "entry_ms": p.entry_ms,
                "exit_ms": at_ms,
                "entry": p.entry,
                "exit": price,
                "ret": p.side * float(np.log(price / p.entry)) - self.rules.cost,
                "reason": reason,
                "mae": min(returns),
                "mfe": max(returns),
            }
        )
        self.position = None
        self.last_exit_ms = at_ms
        self.pending_exit = ""

    def cooled(self, now: int) -> bool:
        entered, left = self.last_entry_ms, self.last_exit_ms
        return (entered is None or now - entered >= self.rules.entry_cooldown_ms) and (
            left is None or now - left >= self.rules.exit_cooldown_ms
        )


def touch(p: Position, o: float, h: float, low: float, rules: Rules) -> tuple[str, float] | None:
    stop = p.entry * math.exp(-p.side * rules.sl)
    take = p.entry * math.exp(p.side * rules.tp)
    if p.side > 0:
        if low <= stop:
            return "sl", min(o, stop)
        if h >= take:
            return "tp", max(o, take)
    else:
        if h >= stop:
            return "sl", max(o, stop)
        if low <= take:
            return "tp", min(o, take)
    return None


def run(bars: Bars, signals: Signals, rules: Rules) -> list[dict[str, Any]]:
    account = Account(bars, rules)
    n = len(bars.t)
    for i in range(n):
        t, o, h, low, c = (column[i].item() for column in bars)
        if account.pending_exit:
            account.leave(i, t, o, account.pending_exit)
        if account.pending_entry:
            account.enter(i)
        held_inside = account.position is not None
        if account.position is not None:
            touched = touch(account.position, o, h, low, rules)
            if touched is not None:
                reason, price = touched
                account.leave(i, t, price, reason)
                held_inside = price != o
            elif i == n - 1:
                account.position.prices_seen += [h, low]
                account.leave(i, t + 60_000, c, "end")
            else:
                account.position.prices_seen += [h, low]
                account.pending_exit = why_leave(account.position, t + 60_000, signals, i, rules)
        if held_inside or account.position is not None or i == n - 1:
            continue
        if account.cooled(t + 60_000):
            account.pending_entry = int(signals.entry[i])
    return account.trades


def why_leave(p: Position, now: int, signals: Signals, i: int, rules: Rules) -> str:
    if signals.direction[i] == -p.side:
        return "opposite"
    if now - p.entry_ms >= rules.max_hold_ms:
        return "max_hold"
    return "session" if signals.leave[i] else ""
