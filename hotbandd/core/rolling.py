"""The strict back-test carried on from slot to slot: the figures of a run of its own, for the price of what is new."""

from __future__ import annotations

import numpy as np

from hotbandd.core import spans, strategy, thresholds
from hotbandd.core.backtest import RUN_DAYS, end_of, rules_of
from hotbandd.core.candles import MINUTE_MS, Candles
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns, Series
from hotbandd.core.sessions import Calendar
from hotbandd.core.setup import Setup
from hotbandd.core.spans import Figures
from hotbandd.core.strategy import BPS
from kernels.backtest import Bars, Signals
from kernels.ledger import Ledger


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

    def figures(self, series: Series, moment_ms: int, setup: Setup, params: Params, since_ms: int = 0) -> Figures:
        """Return the figures of the run over the candles that opened since one moment and have closed by another.

        Raises ValueError where there is none, or such runs cannot be carried on.
        """
        candles, metrics = series.until(moment_ms, since_ms)
        back = strategy.memory(params)
        if back is None or not candles.size:
            raise ValueError("this run cannot be carried on")
        ledger = self._ledger_for((series.revision, params, setup.guards, setup.exit_minutes), candles, params)
        first = int(np.searchsorted(candles.t, ledger.since_ms))
        if candles.t[-1] > ledger.newest_ms:
            ledger.extend(*self._told(candles, metrics, first, setup, params, back))
        end_ms = end_of(candles)
        start_ms = spans.start_of(end_ms, RUN_DAYS)
        # Where the series begins within the run, its first candles have no side, as in a run of its own.
        sided_ms = int(candles.t[back]) if candles.size > back else end_ms
        booked = ledger.booked(max(start_ms, sided_ms))
        ledger.forget(start_ms)
        cost = setup.cost(self._instrument, params, candles, start_ms) / BPS
        covered = spans.coverage(self._instrument, candles.t, end_ms, spans.spans_of(RUN_DAYS), self._calendar)
        return spans.figures(booked.gross - cost, booked.entry_ms, booked.exit_ms, end_ms, covered, self._summed)

    def _ledger_for(self, key: object, candles: Candles, params: Params) -> Ledger:
        ledger = self._ledger
        begun = ledger is not None and key == self._kept
        if ledger is None or not begun or candles.t[-1] < ledger.newest_ms or candles.t[0] > ledger.since_ms:
            self._ledger, self._kept = Ledger(rules_of(params, 0.0)), key
            return self._ledger
        return ledger

    def _told(
        self, candles: Candles, metrics: MetricColumns, first: int, setup: Setup, params: Params, back: int
    ) -> tuple[Bars, Signals]:
        """Return the candles from an index on, and what their closes say."""
        before = max(0, first - back)
        closes, known = candles.close[before:], metrics.take(slice(before, None))
        sides = strategy.direction(params.strategy, closes, known, params, setup.rules)[first - before :]
        new, measured = candles.take(slice(first, None)), metrics.take(slice(first, None))
        leave = self._calendar.masks(self._instrument, new.t + MINUTE_MS, setup.exit_minutes).exit
        admitted = thresholds.admitted(new.t, measured, params.c_min, setup.guards)
        return Bars(new.t, new.open, new.high, new.low, new.close), Signals(sides * (admitted & ~leave), sides, leave)
