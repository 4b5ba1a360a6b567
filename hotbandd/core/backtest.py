"""The strict back-test: one long run per instrument and parameter set, and its figures as slices of that same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from hotbandd.core import strategy, thresholds
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Mask
from hotbandd.core.documents import Params, SpanSummary
from hotbandd.core.series import MetricColumns
from hotbandd.core.sessions import Calendar
from hotbandd.core.setup import Setup
from hotbandd.core.strategy import BPS, BUILT_IN, Direction
from hotbandd.core.thresholds import Guards
from kernels import performance
from kernels.backtest import OFF, REASONS, Bars, Course, Rules, Tape, Trades, run_on

SPANS: Final = (14, 30, 60)
JUDGED_SPAN: Final = 30
RUN_DAYS: Final = 90
MIN_COVERAGE: Final = 0.8

_SECOND_MS = 1000


@dataclass(frozen=True)
class Request:
    """All that one run depends on; picklable.

    ``session_open``, ``session_exit``: bool per candle, whether at its close the session is open, and whether no
    position may stay (closed or in its exit window). ``expected_minutes``: for each span in days, none longer than the
    run, how many minutes of it close in an open session; its keys are the spans to sum up.
    """

    candles: Candles
    metrics: MetricColumns
    session_open: Mask
    session_exit: Mask
    params: Params
    guards: Guards
    cost_bps: float
    expected_minutes: Mapping[int, int]
    days: int = RUN_DAYS
    rules: Mapping[str, Direction] = field(default_factory=lambda: BUILT_IN)

    def __post_init__(self) -> None:
        if any(span > self.days for span in self.expected_minutes):
            raise ValueError(f"a span is longer than the run of {self.days} days")

    @property
    def end_ms(self) -> int:
        """The last candle's close, 0 without candles."""
        return _end_of(self.candles)

    @property
    def start_ms(self) -> int:
        """Where the run starts to decide entries."""
        return start_of(self.end_ms, self.days)


@dataclass(frozen=True)
class Result:
    """A run's trades, and per span (named by its days) its summary and whether its candles suffice to judge by.

    ``integrity``: no span has more trades than a longer one.
    """

    trades: Trades
    start_ms: int
    end_ms: int
    spans: dict[str, SpanSummary]
    sufficient: dict[str, bool]
    integrity: bool


def spans_of(days: int) -> tuple[int, ...]:
    """Return the spans, in days, that a run of some days is summed up by: SPANS as far as it reaches, and the one judged."""
    return tuple(sorted({span for span in SPANS if span <= days} | {min(JUDGED_SPAN, days)}))


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
    closes = candles.t + MINUTE_MS
    end_ms = _end_of(candles)
    masks = calendar.masks(instrument, closes, setup.exit_minutes)
    return Request(
        candles=candles,
        metrics=metrics,
        session_open=masks.open,
        session_exit=masks.exit,
        params=params,
        guards=setup.guards,
        cost_bps=setup.cost(instrument, params, candles, start_of(end_ms, days)),
        expected_minutes={
            span: calendar.open_minutes(instrument, start_of(end_ms, span) + MINUTE_MS, end_ms + MINUTE_MS)
            for span in spans_of(days)
        },
        days=days,
        rules=setup.rules,
    )


def start_of(end_ms: int, days: int) -> int:
    """Return the first open time of candles on which a run or span of some days decides entries."""
    return end_ms - days * DAY_MS


def _end_of(candles: Candles) -> int:
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
        request = self._request
        trades = self.trades(params, cost_bps)
        spans = {str(days): self._summary(trades, days) for days in self._spans}
        counts = [span.trades for span in spans.values()]
        return Result(
            trades=trades,
            start_ms=request.start_ms,
            end_ms=request.end_ms,
            spans=spans,
            sufficient={days: span.coverage >= MIN_COVERAGE for days, span in spans.items()},
            integrity=counts == sorted(counts),
        )

    def trades(self, params: Params, cost_bps: float) -> Trades:
        """Return the trades of a whole run."""
        course = self._course_of(params)
        entry = course.direction * self._may_enter(params.c_min)
        return run_on(self._tape, course, entry, _kernel_rules(params, cost_bps))

    @cached_property
    def _tape(self) -> Tape:
        candles = self._request.candles
        bars = Bars(candles.t, candles.open, candles.high, candles.low, candles.close)
        return Tape(bars, self._request.session_exit)

    @cached_property
    def _in_session(self) -> Mask:
        request = self._request
        mask: Mask = request.session_open & ~request.session_exit
        mask[: np.searchsorted(request.candles.t, request.start_ms)] = False
        return mask

    @cached_property
    def _spans(self) -> dict[int, tuple[int, float]]:
        """Return each span's start and coverage."""
        request = self._request
        starts = {days: start_of(request.end_ms, days) for days in sorted(request.expected_minutes)}
        return {
            days: (start, _coverage(request, start, request.expected_minutes[days])) for days, start in starts.items()
        }

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

    def _summary(self, trades: Trades, days: int) -> SpanSummary:
        start_ms, coverage = self._spans[days]
        inside = trades.take(slice(int(np.searchsorted(trades.entry_ms, start_ms)), None))
        figures = performance.summary(inside.ret, inside.entry_ms, inside.exit_ms, days * DAY_MS)
        return SpanSummary(**figures._asdict(), coverage=coverage)


def _kernel_rules(params: Params, cost_bps: float) -> Rules:
    return Rules(
        entry_cooldown_ms=params.entry_cooldown_sec * _SECOND_MS,
        exit_cooldown_ms=params.exit_cooldown_sec * _SECOND_MS,
        max_hold_ms=params.max_hold_min * MINUTE_MS,
        tp=OFF if params.tp_bps is None else params.tp_bps / BPS,
        sl=OFF if params.sl_bps is None else params.sl_bps / BPS,
        cost=cost_bps / BPS,
    )


def _coverage(request: Request, start_ms: int, expected: int) -> float:
    """Return the share of a span's minutes that close in a session and have a candle; 0 where none is expected."""
    first = int(np.searchsorted(request.candles.t, start_ms))
    seen = int(np.count_nonzero(request.session_open[first:]))
    return min(1.0, seen / expected) if expected else 0.0


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
