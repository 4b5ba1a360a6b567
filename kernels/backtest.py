"""Trades of one strict back-test: one position of one unit at a time, found by hopping from event to event.

A decision is taken at a candle's close, ``t + 60 000``, and fills at the next candle's open, at that candle's ``t``,
however late it comes.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.ahead import Ahead, Mask, Touches
from kernels.types import Floats, Ints

Sides = NDArray[np.int8]
Codes = NDArray[np.int8]  # indices into REASONS

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
    reason: Codes
    mae: Floats
    mfe: Floats

    @property
    def size(self) -> int:
        """Number of trades."""
        return len(self.side)

    def take(self, index: slice) -> Trades:
        """Return the trades at a slice."""
        return Trades._make(column[index] for column in self)


class Course:
    """A direction signal over n candles, asked for its next turn."""

    def __init__(self, direction: Sides) -> None:
        self.direction = direction
        self._up, self._down = Ahead(direction > 0), Ahead(direction < 0)

    def against(self, side: Sides, at: Ints) -> Ints:
        """Return the first candle at or after each index whose signal opposes the side, n where there is none."""
        found: Ints = np.where(side > 0, self._down.next(at), self._up.next(at))
        return found


class Tape:
    """Candles and the closes at which no position may stay: what all runs over them share."""

    def __init__(self, bars: Bars, leave: Mask) -> None:
        self.bars = bars
        self._leave = Ahead(leave)

    @property
    def end(self) -> int:
        """Index of the last candle."""
        return len(self.bars.t) - 1

    @cached_property
    def touches(self) -> Touches:
        """The lows and highs, to find touches in."""
        return Touches(self.bars.low, self.bars.high)

    def leaves(self, at: Ints) -> Ints:
        """Return the first candle at or after each index at whose close no position may stay, n where there is none."""
        return self._leave.next(at)

    def first_from(self, moment: Ints, at_most: Ints) -> Ints:
        """Return the first candle that opens at a moment or later, given an index which, if inside, is not before it."""
        t, guess = self.bars.t, np.minimum(at_most, self.end)
        exact = (t[guess] >= moment) & ((guess == 0) | (t[guess - 1] < moment))
        if exact.all():
            return guess
        found = guess.copy()
        found[~exact] = np.searchsorted(t, moment[~exact])
        return found


class Possible(NamedTuple):
    """Every possible trade of a run, taken or not, in the order of their decisions; columns of equal length.

    ``decided`` the candle at whose close it is decided; ``first`` the candle of its entry, ``side`` ±1; ``last``, ``price``,
    ``reason`` the candle of its exit, the price and an index into REASONS; ``held`` the candle before which it is held to every
    close; ``ready`` the first candle at whose close the next entry may be decided, the last one where none is.
    """

    decided: Ints
    first: Ints
    side: Sides
    last: Ints
    price: Floats
    reason: Codes
    held: Ints
    ready: Ints

    def take(self, at: Ints | slice) -> Possible:
        """Return the possible trades at some places."""
        return Possible._make(column[at] for column in self)


class _Ends(NamedTuple):
    """How each possible trade ends; columns as in Possible. ``free``: ``ready``, if there were no cooldowns."""

    last: Ints
    price: Floats
    reason: Codes
    held: Ints
    free: Ints


def run(bars: Bars, signals: Signals, rules: Rules) -> Trades:
    """Return the trades of one run over n candles; the last candle's close ends what is still held.

    A touched level ends a trade inside its candle, at the level, or at the open if that lies at or beyond it; where
    both are touched, the stop counts. A candle's close ends it on the opposite direction, ``max_hold_ms`` after the
    entry's fill, or on ``leave``; where several meet, the first of these gives the reason. No entry is decided at the
    close of a candle inside which a position was held; one that ended at the candle's open does not count.
    """
    return run_on(Tape(bars, signals.leave), Course(signals.direction), signals.entry, rules)


def run_on(tape: Tape, course: Course, entry: Sides, rules: Rules) -> Trades:
    """Return the trades of a run, as ``run`` does, on candles and directions that others share."""
    candidates = Ahead(entry[:-1] != 0)
    found = possible(tape, course, entry, rules, candidates)
    taken = hop(candidates.before(found.ready).tolist())
    return _trades(tape.bars, found.take(np.array(taken, dtype=np.int64)), rules.cost)


def possible(tape: Tape, course: Course, entry: Sides, rules: Rules, candidates: Ahead) -> Possible:
    """Work out every possible trade; ``candidates`` are the candles before the last one with an entry.

    All that can be told of a trade without knowing whether it is taken is told for all at once, the moment from which
    another may follow included: what remains is to hop from one to the next.
    """
    decided = candidates.places
    first, side = decided + 1, entry[decided]
    ends = _at_close(tape, course, first, side, rules)
    if rules.tp < OFF or rules.sl < OFF:
        ends = _at_levels(tape, first, side, rules, ends)
    ready = _ready(tape, first, ends, rules)
    return Possible(decided, first, side, ends.last, ends.price, ends.reason, ends.held, ready)


def hop(following: list[int], at: int = 0) -> list[int]:
    """Take a possible trade, and from each the one that may follow it; ``following`` numbers them, its length where none does."""
    taken = []
    stop = len(following)
    while at < stop:
        taken.append(at)
        at = following[at]
    return taken


def _at_close(tape: Tape, course: Course, first: Ints, side: Sides, rules: Rules) -> _Ends:
    bars, end = tape.bars, tape.end
    against, leaves = course.against(side, first), tape.leaves(first)
    held_long = bars.t[first] + rules.max_hold_ms - CANDLE_MS
    too_long = tape.first_from(held_long, first + _candles(rules.max_hold_ms) - 1)
    decided = np.minimum(np.minimum(against, too_long), leaves)
    ended = decided >= end
    reason = np.where(decided == against, OPPOSITE, np.where(decided == too_long, MAX_HOLD, SESSION)).astype(np.int8)
    reason[ended] = END
    last = np.where(ended, end, decided + 1)
    price = np.where(ended, bars.close[last], bars.open[last])
    return _Ends(last, price, reason, last + ended, last)


def _at_levels(tape: Tape, first: Ints, side: Sides, rules: Rules, ends: _Ends) -> _Ends:
    """End each position at the first touch of a level while it is held; of two in one candle, at the stop."""
    bars, long, entry = tape.bars, side > 0, tape.bars.open[first]
    lower = entry * np.where(long, math.exp(-rules.sl), math.exp(-rules.tp))
    upper = entry * np.where(long, math.exp(rules.tp), math.exp(rules.sl))
    candle = tape.touches.first(first, ends.held, lower, upper)
    hit = np.flatnonzero(candle < ends.held)
    candle, long, lower, upper = candle[hit], long[hit], lower[hit], upper[hit]
    opened = bars.open[candle]
    below = (bars.low[candle] <= lower) & (long | (bars.high[candle] < upper))
    level = np.where(below, np.minimum(opened, lower), np.maximum(opened, upper))
    at_open = np.where(below, opened <= lower, opened >= upper)
    found = _Ends._make(column.copy() for column in ends)
    found.last[hit], found.price[hit], found.held[hit] = candle, level, candle
    found.reason[hit] = np.where(below == long, SL, TP)
    found.free[hit] = candle + ~at_open
    return found


def _ready(tape: Tape, first: Ints, ends: _Ends, rules: Rules) -> Ints:
    """Return the first candle after each exit at whose close the next entry may be decided."""
    t = tape.bars.t
    cooled = np.maximum(t[first] + rules.entry_cooldown_ms, t[ends.last] + rules.exit_cooldown_ms) - CANDLE_MS
    soonest = np.maximum(first + _candles(rules.entry_cooldown_ms), ends.last + _candles(rules.exit_cooldown_ms)) - 1
    return np.minimum(np.maximum(tape.first_from(cooled, soonest), ends.free), tape.end)


def _candles(wait_ms: int) -> int:
    return -(-wait_ms // CANDLE_MS)


def gross(side: Sides, entry: Floats, price: Floats) -> Floats:
    """Return log returns before cost."""
    grown = np.log(price / entry)
    found: Floats = np.where(side > 0, grown, -grown)
    return found


def _trades(bars: Bars, taken: Possible, cost: float) -> Trades:
    side, first = taken.side, taken.first
    entry = bars.open[first]
    earned = gross(side, entry, taken.price)
    lowest, highest = _extremes(bars, first, taken.held, entry)
    down, up = np.log(lowest / entry), np.log(highest / entry)
    return Trades(
        side=side,
        entry_index=first,
        exit_index=taken.last,
        entry_ms=bars.t[first],
        exit_ms=exit_ms(bars, taken),
        entry=entry,
        exit=taken.price,
        ret=earned - cost,
        reason=taken.reason,
        mae=np.minimum(np.where(side > 0, down, -up), earned),
        mfe=np.maximum(np.where(side > 0, up, -down), earned),
    )


def exit_ms(bars: Bars, ended: Possible) -> Ints:
    """Return when trades end: the time of the candle of the exit, its close where the run ends with it."""
    moments: Ints = bars.t[ended.last] + CANDLE_MS * (ended.reason == END)
    return moments


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
