"""Trades of one strict back-test: one position of one unit at a time, found by hopping from event to event.

A decision is taken at a candle's close, ``t + 60 000``, and fills at the next candle's open, at that candle's ``t``,
however late it comes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.types import Floats, Ints

Sides = NDArray[np.int8]
Mask = NDArray[np.bool_]

CANDLE_MS = 60_000
OFF = math.inf  # a take-profit or stop-loss that is never touched

REASONS = ("opposite", "tp", "sl", "max_hold", "session", "end")
OPPOSITE, TP, SL, MAX_HOLD, SESSION, END = range(len(REASONS))


class Bars(NamedTuple):
    """Candles as columns of length n: ``t`` open times, UTC epoch ms, strictly ascending; prices > 0."""

    t: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats


class Signals(NamedTuple):
    """What each candle's close says, columns of length n.

    ``entry`` side to enter if flat and cooled down, ``direction`` side of the bare signal, both −1, 0 or 1; ``leave``
    where no position may stay.
    """

    entry: Sides
    direction: Sides
    leave: Mask


class Rules(NamedTuple):
    """Waits in ms; ``tp`` and ``sl`` distances from the entry and ``cost`` of a round trip as log returns."""

    entry_cooldown_ms: int
    exit_cooldown_ms: int
    max_hold_ms: int
    tp: float = OFF
    sl: float = OFF
    cost: float = 0.0


class Trades(NamedTuple):
    """Trades in the order of time, columns of equal length.

    ``side`` ±1; ``entry_index``, ``exit_index`` the candles of the fills; ``entry_ms``, ``exit_ms`` their times;
    ``entry``, ``exit`` prices; ``ret`` log return after cost; ``reason`` an index into REASONS. ``mae`` ≤ 0 ≤ ``mfe``:
    the worst and best log return from the entry, before cost, over both fills and the lows and highs of the candles
    held to their close. Of the candle inside which a level was touched only the fill counts: its other prices may have
    come later.
    """

    side: Sides
    entry_index: Ints
    exit_index: Ints
    entry_ms: Ints
    exit_ms: Ints
    entry: Floats
    exit: Floats
    ret: Floats
    reason: NDArray[np.int8]
    mae: Floats
    mfe: Floats

    @property
    def size(self) -> int:
        """Number of trades."""
        return len(self.side)

    def take(self, index: slice) -> Trades:
        """Return the trades at a slice."""
        return Trades._make(column[index] for column in self)


class _Plan(NamedTuple):
    """Every possible entry, ascending: its first candle and side, its levels, and how a candle's close would end it."""

    decided_ms: list[int]  # open time of the candle at whose close it is decided
    first: Ints
    side: Sides
    lower: Floats
    upper: Floats
    last: Ints  # the last candle held, unless a level is touched before
    reason: Sides
    entered_ms: list[int]
    left_ms: list[int]  # when it would end so


class _Touch(NamedTuple):
    """A level touched: the candle, the fill, and whether that was its open."""

    candle: int
    price: float
    reason: int
    at_open: bool


def run(bars: Bars, signals: Signals, rules: Rules) -> Trades:
    """Return the trades of one run over n candles; the last candle's close ends what is still held.

    A touched level ends a trade inside its candle, at the level, or at the open if that lies at or beyond it; where
    both are touched, the stop counts. A candle's close ends it on the opposite direction, ``max_hold_ms`` after the
    entry's fill, or on ``leave``; where several meet, the first of these gives the reason. No entry is decided at the
    close of a candle inside which a position was held; one that ended at the candle's open does not count.
    """
    plan = _plan(bars, signals, rules)
    taken, touches = _hop(bars, plan, rules)
    return _trades(bars, plan, np.array(taken, dtype=np.int64), touches, rules.cost)


def _plan(bars: Bars, signals: Signals, rules: Rules) -> _Plan:
    end = len(bars.t) - 1
    decided = np.flatnonzero(signals.entry[:-1])
    first = decided + 1
    side = signals.entry[decided]
    entry, entered = bars.open[first], bars.t[first]
    against = np.where(side > 0, _next(signals.direction < 0, first), _next(signals.direction > 0, first))
    too_long = np.searchsorted(bars.t, entered + (rules.max_hold_ms - CANDLE_MS))
    last = np.minimum(np.minimum(against, too_long), _next(signals.leave, first))
    reason = np.where(last == against, OPPOSITE, np.where(last == too_long, MAX_HOLD, SESSION))
    left = bars.t[np.minimum(last + 1, end)]
    return _Plan(
        decided_ms=bars.t[decided].tolist(),
        first=first,
        side=side,
        lower=entry * np.where(side > 0, math.exp(-rules.sl), math.exp(-rules.tp)),
        upper=entry * np.where(side > 0, math.exp(rules.tp), math.exp(rules.sl)),
        last=np.minimum(last, end),
        reason=np.where(last >= end, END, reason).astype(np.int8),
        entered_ms=entered.tolist(),
        left_ms=left.tolist(),
    )


def _next(mask: Mask, at: Ints) -> Ints:
    """Return the first true index at or after each index, n where there is none."""
    true = np.append(np.flatnonzero(mask), len(mask))
    found: Ints = true[np.searchsorted(true, at)]
    return found


def _hop(bars: Bars, plan: _Plan, rules: Rules) -> tuple[list[int], list[_Touch | None]]:
    """Take the first possible entry, jump to its exit, go on from there; return the entries and what levels they touched."""
    taken: list[int] = []
    touches: list[_Touch | None] = []
    bounded = rules.tp < OFF or rules.sl < OFF
    at = 0
    while at < len(plan.decided_ms):
        touch = _touch(bars, plan, at) if bounded else None
        taken.append(at)
        touches.append(touch)
        left = plan.left_ms[at] if touch is None else bars.t.item(touch.candle)
        cooled = max(plan.entered_ms[at] + rules.entry_cooldown_ms, left + rules.exit_cooldown_ms) - CANDLE_MS
        held_inside = touch is not None and not touch.at_open
        at = bisect_left(plan.decided_ms, max(cooled, left + held_inside), at + 1)
    return taken, touches


def _touch(bars: Bars, plan: _Plan, at: int) -> _Touch | None:
    """Return the first touch of a level while the position is held; of two in one candle, the stop."""
    first, lower, upper = plan.first.item(at), plan.lower.item(at), plan.upper.item(at)
    held = slice(first, plan.last.item(at) + 1)
    touched = (bars.low[held] <= lower) | (bars.high[held] >= upper)
    ahead = int(touched.argmax())
    if not touched.item(ahead):
        return None
    candle = first + ahead
    opened = bars.open.item(candle)
    long = plan.side.item(at) > 0
    if bars.low.item(candle) <= lower and (long or bars.high.item(candle) < upper):
        return _Touch(candle, min(opened, lower), SL if long else TP, opened <= lower)
    return _Touch(candle, max(opened, upper), TP if long else SL, opened >= upper)


def _trades(bars: Bars, plan: _Plan, taken: Ints, touches: list[_Touch | None], cost: float) -> Trades:
    first, side, reason = plan.first[taken], plan.side[taken], plan.reason[taken]
    index = plan.last[taken] + (reason != END)
    price = np.where(reason == END, bars.close[index], bars.open[index])
    for i, touch in enumerate(touches):
        if touch is not None:
            index[i], price[i], reason[i] = touch.candle, touch.price, touch.reason
    ended = reason == END
    entry = bars.open[first]
    grown = np.log(price / entry)
    gross = np.where(side > 0, grown, -grown)
    lowest, highest = _extremes(bars, first, index + ended, entry)
    down, up = np.log(lowest / entry), np.log(highest / entry)
    return Trades(
        side=side,
        entry_index=first,
        exit_index=index,
        entry_ms=bars.t[first],
        exit_ms=bars.t[index] + CANDLE_MS * ended,
        entry=entry,
        exit=price,
        ret=gross - cost,
        reason=reason,
        mae=np.minimum(np.where(side > 0, down, -up), gross),
        mfe=np.maximum(np.where(side > 0, up, -down), gross),
    )


def _extremes(bars: Bars, first: Ints, stop: Ints, entry: Floats) -> tuple[Floats, Floats]:
    """Return each trade's lowest low and highest high over the candles [first, stop), its entry where there are none."""
    if not len(first):
        return entry, entry
    edges = np.column_stack((first, stop)).ravel()
    edges = edges[: len(edges) - int(edges[-1] == len(bars.t))]
    some = stop > first
    lowest = np.where(some, np.minimum.reduceat(bars.low, edges)[::2], entry)
    highest = np.where(some, np.maximum.reduceat(bars.high, edges)[::2], entry)
    return lowest, highest
