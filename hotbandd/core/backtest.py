"""The strict back-test: one long run per instrument and parameter set, and its figures as slices of that same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from hotbandd.core import strategy, thresholds
from hotbandd.core.candles import MINUTE_MS, Candles, Mask
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns
from hotbandd.core.sessions import Calendar
from hotbandd.core.setup import Setup
from hotbandd.core.spans import Figures, coverage, figures, spans_of, start_of
from hotbandd.core.strategy import BPS, BUILT_IN, Direction
from hotbandd.core.thresholds import Guards
from kernels.backtest import OFF, REASONS, Bars, Course, Rules, Tape, Trades, run_on

RUN_DAYS: Final = 90

_SECOND_MS = 1000


@dataclass(frozen=True)
class Request:
    """All that one run depends on; picklable.

    ``leave``: bool per candle, whether at its close no position may stay and none may be entered (the session closed, or in its
    exit window). ``coverage``: as from ``spans.coverage``; its keys are the spans to sum up, none longer than the run.
    """

    candles: Candles
    metrics: MetricColumns
    leave: Mask
    params: Params
    guards: Guards
    cost_bps: float
    coverage: Mapping[int, float]
    days: int = RUN_DAYS
    rules: Mapping[str, Direction] = field(default_factory=lambda: BUILT_IN)

    def __post_init__(self) -> None:
        if any(span > self.days for span in self.coverage):
            raise ValueError(f"a span is longer than the run of {self.days} days")

    @property
    def end_ms(self) -> int:
        """The last candle's close, 0 without candles."""
        return end_of(self.candles)

    @property
    def start_ms(self) -> int:
        """Where the run starts to decide entries."""
        return start_of(self.end_ms, self.days)


@dataclass(frozen=True)
class Result:
    """A run's trades and figures."""

    trades: Trades
    start_ms: int
    end_ms: int
    figures: Figures


def request_of(
    instrument: str,
    candles: Candles,
    metrics: MetricColumns,
    calendar: Calendar,
    setup: Setup,
    params: Params,
    *,
    days: int = RUN_DAYS,
) -> Request:
    """Gather all that one run depends on, up to the last candle's close."""
    end_ms = end_of(candles)
    return Request(
        candles=candles,
        metrics=metrics,
        leave=calendar.masks(instrument, candles.t + MINUTE_MS, setup.exit_minutes).exit,
        params=params,
        guards=setup.guards,
        cost_bps=setup.cost(instrument, params, candles, start_of(end_ms, days)),
        coverage=coverage(instrument, candles.t, end_ms, spans_of(days), calendar),
        days=days,
        rules=setup.rules,
    )


def end_of(candles: Candles) -> int:
    """Return the last candle's close, 0 without candles."""
    return int(candles.t[-1]) + MINUTE_MS if candles.size else 0


def evaluate(request: Request) -> Result:
    """Run the back-test, and sum up each span's trades by entry time.

    Raises UsageError for an unknown strategy or a malformed threshold.
    """
    return Bench(request).result(request.params, request.cost_bps)


def trades_of(request: Request) -> Trades:
    """Return the trades of the whole run."""
    return Bench(request).trades(request.params, request.cost_bps)


class Bench:
    """Runs on the same candles with other parameters: what they share is worked out once.

    Kept from run to run: the candles as the kernel reads them, the latest direction signal, and a mask of the admitted
    closes per ``c_min``, at most MASKS of them. So runs that differ in ``c_min`` and cooldowns alone should follow each other.
    """

    MASKS: Final = 64

    def __init__(self, request: Request) -> None:
        self._request = request
        self._course: tuple[object, Course] = (None, Course(np.zeros(0, dtype=np.int8)))
        self._admitted: dict[float | str, Mask] = {}

    def result(self, params: Params, cost_bps: float) -> Result:
        """Return a run's trades and figures. Raises UsageError for an unknown strategy or a malformed threshold."""
        request, trades = self._request, self.trades(params, cost_bps)
        summed = figures(trades.ret, trades.entry_ms, trades.exit_ms, request.end_ms, request.coverage)
        return Result(trades, request.start_ms, request.end_ms, summed)

    def trades(self, params: Params, cost_bps: float) -> Trades:
        """Return the trades of a whole run."""
        course = self._course_of(params)
        entry = course.direction * self._may_enter(params.c_min)
        return run_on(self._tape, course, entry, rules_of(params, cost_bps))

    @cached_property
    def _tape(self) -> Tape:
        candles = self._request.candles
        bars = Bars(candles.t, candles.open, candles.high, candles.low, candles.close)
        return Tape(bars, self._request.leave)

    @cached_property
    def _in_session(self) -> Mask:
        request = self._request
        mask: Mask = ~request.leave
        mask[: np.searchsorted(request.candles.t, request.start_ms)] = False
        return mask

    def _course_of(self, params: Params) -> Course:
        request = self._request
        key = strategy.reads(params)
        if self._course[0] != key:
            sides = strategy.direction(params.strategy, request.candles.close, request.metrics, params, request.rules)
            self._course = key, Course(sides)
        return self._course[1]

    def _may_enter(self, c_min: float | str) -> Mask:
        if c_min not in self._admitted:
            if len(self._admitted) >= self.MASKS:
                self._admitted.clear()
            request = self._request
            admitted = thresholds.admitted(request.candles.t, request.metrics, c_min, request.guards)
            self._admitted[c_min] = admitted & self._in_session
        return self._admitted[c_min]


def rules_of(params: Params, cost_bps: float) -> Rules:
    """Return what the kernel needs of parameters."""
    return Rules(
        entry_cooldown_ms=params.entry_cooldown_sec * _SECOND_MS,
        exit_cooldown_ms=params.exit_cooldown_sec * _SECOND_MS,
        max_hold_ms=params.max_hold_min * MINUTE_MS,
        tp=OFF if params.tp_bps is None else params.tp_bps / BPS,
        sl=OFF if params.sl_bps is None else params.sl_bps / BPS,
        cost=cost_bps / BPS,
    )


def trade_rows(result: Result) -> list[dict[str, Any]]:
    """Return a run's trades as rows for people and programs."""
    trades = result.trades
    shown = ("entry_ms", "exit_ms", "entry", "exit", "ret", "reason", "mae", "mfe")
    columns = [getattr(trades, name).tolist() for name in shown]
    rows: list[dict[str, Any]] = []
    for side, *values in zip(trades.side.tolist(), *columns, strict=True):
        row = dict(zip(shown, values, strict=True))
        rows.append({"side": "long" if side > 0 else "short", **row, "reason": REASONS[row["reason"]]})
    return rows
