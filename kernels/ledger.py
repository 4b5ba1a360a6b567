"""Back-tests carried on while their candles grow: a possible trade is worked out once, when all of it is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.ahead import Ahead
from kernels.backtest import END, Bars, Course, Rules, Signals, Tape, exit_ms, gross, hop, possible
from kernels.types import Floats, Ints

_ROOM = 1024


class Booked(NamedTuple):
    """Taken trades in the order of time: times of their fills, UTC epoch ms, and log returns before cost; columns of equal length."""

    entry_ms: Ints
    exit_ms: Ints
    gross: Floats


class _Columns(NamedTuple):
    decided_ms: Ints
    entry_ms: Ints
    exit_ms: Ints
    gross: Floats


class Ledger:
    """The possible trades of one set of rules, over candles of which only the end may change, by growing.

    Settled are those whose exit, and the first candle at which another may be decided, lie before the newest candle:
    no later candle moves them. The few behind are worked out anew each time, from the candle at ``since_ms`` on.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        none = np.empty(0, dtype=np.int64)
        self._columns = _Columns(none, none, none, np.empty(0))
        self._following: list[int] = []
        self._settled = 0
        self.since_ms = -1
        self.newest_ms = -1

    def extend(self, bars: Bars, signals: Signals) -> None:
        """Take the candles from ``since_ms`` on (all of them at first), with what their closes say."""
        if not len(bars.t):
            return
        tape = Tape(bars, signals.leave)
        candidates = Ahead(signals.entry[:-1] != 0)
        found = possible(tape, Course(signals.direction), signals.entry, self._rules, candidates)
        following = candidates.before(found.ready)
        earned = gross(found.side, bars.open[found.first], found.price)
        self._put(_Columns(bars.t[found.decided], bars.t[found.first], exit_ms(bars, found), earned))
        self._following[self._settled :] = (following + self._settled).tolist()
        open_ended = np.flatnonzero((found.reason == END) | (found.ready >= tape.end))
        settled = int(open_ended[0]) if len(open_ended) else len(found.decided)
        since = found.decided[settled] if settled < len(found.decided) else tape.end
        self._settled += settled
        self.since_ms, self.newest_ms = int(bars.t[since]), int(bars.t[-1])

    def booked(self, start_ms: int) -> Booked:
        """Return the trades of a run that decides entries on candles that open at a moment or later."""
        taken = np.array(hop(self._following, self._decided_before(start_ms)), dtype=np.int64)
        _, entry_ms, left_ms, earned = self._columns
        return Booked(entry_ms[taken], left_ms[taken], earned[taken])

    def forget(self, before_ms: int) -> None:
        """Drop possible trades that were decided before a moment."""
        gone = min(self._decided_before(before_ms), self._settled)
        if gone > max(_ROOM, self._settled // 2):
            self._columns = _Columns._make(column[gone:].copy() for column in self._columns)
            self._following = [after - gone for after in self._following[gone:]]
            self._settled -= gone

    def _decided_before(self, moment_ms: int) -> int:
        return int(np.searchsorted(self._columns.decided_ms[: len(self._following)], moment_ms))

    def _put(self, new: _Columns) -> None:
        """Write columns behind what is settled."""
        stop = self._settled + len(new.decided_ms)
        if stop > len(self._columns.decided_ms):
            room = stop + max(_ROOM, stop // 2)
            self._columns = _Columns._make(np.resize(column, room) for column in self._columns)
        for column, values in zip(self._columns, new, strict=True):
            column[self._settled : stop] = values
