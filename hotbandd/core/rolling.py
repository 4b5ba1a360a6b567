"""The strict back-test carried on from slot to slot: the figures of a run of its own, for the price of what is new."""

from __future__ import annotations

from typing import Final

import numpy as np

from hotbandd.core import spans, strategy, thresholds
from hotbandd.core.backtest import RUN_DAYS, rules_of
from hotbandd.core.candles import MINUTE_MS, Ints, empty
from hotbandd.core.documents import Params
from hotbandd.core.series import Series
from hotbandd.core.sessions import Calendar
from hotbandd.core.setup import Setup
from hotbandd.core.spans import Figures
from hotbandd.core.strategy import BPS
from kernels.backtest import Bars, Signals
from kernels.ledger import Ledger

SOME_CANDLES: Final = 3000  # two days, unpacked and run over within some 5 ms


def carries(setup: Setup, params: Params) -> bool:
    """Tell whether such runs can be carried on: not where a rule is found elsewhere, or a bound in force is a percentile.

    Both may depend on where the series begins, which moves.
    """
    guards = setup.guards
    enforced = (guards.s_min, guards.h_max, guards.r_max, guards.hazard_max) if guards.enforce else ()
    relative = any(isinstance(bound, str) for bound in (params.c_min, *enforced))
    return not relative and strategy.memory(params) is not None


class Rolling:
    """Back-tests of one instrument over a series that grows; other rules, or a changed past, begin anew."""

    def __init__(self, instrument: str, calendar: Calendar) -> None:
        self._instrument = instrument
        self._calendar = calendar
        self._ledger: Ledger | None = None
        self._kept: object = None
        self._summed = spans.Summed()

    def advance(
        self,
        series: Series,
        moment_ms: int,
        setup: Setup,
        params: Params,
        since_ms: int = 0,
        most: int = SOME_CANDLES,
    ) -> bool:
        """Take in some of the candles that the figures of the same run need; return whether no more than so many are left for them.

        The first run over a history has all of it to take in, and unpacks the days that it passes.
        """
        seen = series.span(moment_ms, since_ms)
        back = strategy.memory(params)
        if back is None or seen.start == seen.stop:
            return True
        ledger = self._ledger_for(series, seen, setup, params)
        stop = max(seen.start, series.rank(ledger.newest_ms, "right")) + most
        if stop >= seen.stop:
            return True
        ledger.extend(*self._told(series, slice(seen.start, stop), ledger.since_ms, setup, params, back))
        return False

    def figures(self, series: Series, moment_ms: int, setup: Setup, params: Params, since_ms: int = 0) -> Figures:
        """Return the figures of the run over the candles that opened since one moment and have closed by another.

        Raises ValueError where there is none, or such runs cannot be carried on.
        """
        seen = series.span(moment_ms, since_ms)
        size = seen.stop - seen.start
        back = strategy.memory(params)
        if back is None or not size:
            raise ValueError("this run cannot be carried on")
        newest_ms = series.opened(seen.stop - 1)
        ledger = self._ledger_for(series, seen, setup, params)
        if newest_ms > ledger.newest_ms:
            ledger.extend(*self._told(series, seen, ledger.since_ms, setup, params, back))
        end_ms = newest_ms + MINUTE_MS
        start_ms = spans.start_of(end_ms, RUN_DAYS)
        # Where the series begins within the run, its first candles have no side, as in a run of its own.
        sided_ms = series.opened(seen.start + back) if size > back else end_ms
        booked = ledger.booked(max(start_ms, sided_ms))
        ledger.forget(start_ms)
        before = series.take(slice(seen.start, series.rank(start_ms))) if setup.cost_from_spread else empty()
        cost = setup.cost(self._instrument, params, before, start_ms) / BPS
        times, lengths = _Times(series, seen), spans.spans_of(RUN_DAYS)
        covered = spans.coverage(self._instrument, times, end_ms, lengths, self._calendar)
        return spans.figures(booked.gross - cost, booked.entry_ms, booked.exit_ms, end_ms, covered, self._summed)

    def _ledger_for(self, series: Series, seen: slice, setup: Setup, params: Params) -> Ledger:
        oldest_ms, newest_ms = series.opened(seen.start), series.opened(seen.stop - 1)
        key = series.revision, params, setup.guards, setup.exit_minutes
        ledger = self._ledger
        begun = ledger is not None and key == self._kept
        if ledger is None or not begun or newest_ms < ledger.newest_ms or oldest_ms > ledger.since_ms:
            self._ledger, self._kept = Ledger(rules_of(params, 0.0)), key
            return self._ledger
        return ledger

    def _told(
        self, series: Series, seen: slice, since_ms: int, setup: Setup, params: Params, back: int
    ) -> tuple[Bars, Signals]:
        """Return the candles from a moment on, and what their closes say."""
        first = max(seen.start, series.rank(since_ms))
        before = max(seen.start, first - back)
        candles, known = series.take(slice(before, seen.stop)), series.measures(slice(before, seen.stop))
        sides = strategy.direction(params.strategy, candles.close, known, params, setup.rules)[first - before :]
        new, measured = candles.take(slice(first - before, None)), known.take(slice(first - before, None))
        leave = self._calendar.masks(self._instrument, new.t + MINUTE_MS, setup.exit_minutes).exit
        admitted = thresholds.admitted(new.t, measured, params.c_min, setup.guards)
        return Bars(new.t, new.open, new.high, new.low, new.close), Signals(sides * (admitted & ~leave), sides, leave)


class _Times:
    """Open times of a part of a series."""

    def __init__(self, series: Series, part: slice) -> None:
        self._series = series
        self._part = part

    def __len__(self) -> int:
        return int(self._part.stop - self._part.start)

    def searchsorted(self, moments: Ints, /) -> Ints:
        found: Ints = np.clip(self._series.ranks(moments), self._part.start, self._part.stop)
        return found - int(self._part.start)
