"""What is drawn of one instrument, from memory where this process measures it, else from the store."""

from __future__ import annotations

from math import isnan
from typing import Final, NamedTuple

import anyio

from hotbandd.core import backtest, chart, page
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Ints
from hotbandd.core.chart import Chart, Traded
from hotbandd.core.documents import RollingSummary
from hotbandd.core.series import MetricColumns
from hotbandd.services.context import Context
from hotbandd.services.evaluator import Evaluator

HOUR_MS: Final = 60 * MINUTE_MS
NO_SERIES: Final = "Trades are known to the daemon that leads; this one stands by."
NOT_TESTED: Final = "It was not evaluated within the last hour, so no trades are shown."
NO_CANDLES: Final = "There are no candles up to its last evaluation."


class Tested(NamedTuple):
    """The run behind the last evaluation."""

    key: tuple[int, str]
    start_ms: int
    end_ms: int
    trades: list[Traded]


class Charts:
    """Draws on demand; the run of each instrument is kept until it is evaluated anew."""

    def __init__(self, context: Context, evaluator: Evaluator, hot_days: int) -> None:
        self._market = context.market
        self._store = context.store
        self._compute = context.compute
        self._clock = context.clock
        self._calendar = context.calendar
        self._evaluator = evaluator
        self._hot_ms = hot_days * DAY_MS
        self._tested: dict[str, Tested] = {}
        self._testing = anyio.Lock()

    async def chart(self, pair: str, hours: int) -> Chart:
        """Return what is drawn of an instrument over the last hours. Raises what the store raises."""
        now = self._clock.now()
        candles, stamps, metrics = await self._columns(pair, now - hours * HOUR_MS, now)
        made, minutes = chart.bars(candles)
        tested, note = await self._run(pair)
        bounds = self._evaluator.rules.bounds.at_newest(candles.t, metrics if candles.size == metrics.size else _none())
        numbers = zip("CSHR", (bounds.c_min, bounds.s_min, bounds.h_max, bounds.r_max), strict=True)
        return Chart(
            instrument=pair,
            now=now,
            hours=hours,
            minutes_per_bar=minutes,
            bars=made,
            metrics=chart.metrics(stamps, metrics),
            bounds={name: None if isnan(bound) else bound for name, bound in numbers},
            trades=None if tested is None else tested.trades,
            tested_from=None if tested is None else tested.start_ms,
            tested_to=None if tested is None else tested.end_ms,
            param_key=None if tested is None else tested.key[1],
            note=note,
        )

    async def _columns(self, pair: str, start: int, now: int) -> tuple[Candles, Ints, MetricColumns]:
        """Return the candles that opened since a moment, and stamped metrics."""
        series = self._market.series[pair]
        if series.size:
            candles, metrics = series.until(now, start)
            return candles, candles.t + MINUTE_MS, metrics
        found = (await self._store.candles(pair, self._market.granularity, start, now)).candles
        stamps, metrics = page.columns(await self._store.manifold_history(pair, max(start, now - DAY_MS), now))
        return found, stamps, metrics

    async def _run(self, pair: str) -> tuple[Tested | None, str | None]:
        """Return the run behind the last evaluation, or why there is none."""
        if not self._market.series[pair].size:
            return None, NO_SERIES
        summary = await self._store.summary(pair)
        if summary is None:
            return None, NOT_TESTED
        key = summary.ts, summary.param_key
        async with self._testing:
            kept = self._tested.get(pair)
            if kept is None or kept.key != key:
                kept = await self._test(pair, summary)
        if kept is None:
            return None, NO_CANDLES
        self._tested[pair] = kept
        return kept, None

    async def _test(self, pair: str, summary: RollingSummary) -> Tested | None:
        """Run what was evaluated once more, for its trades."""
        candles, metrics = self._market.series[pair].until(summary.ts, summary.ts - self._hot_ms)
        if not candles.size:
            return None
        setup = self._evaluator.rules.setup
        request = backtest.request_of(pair, candles, metrics, self._calendar, setup, summary.params)
        result = await self._compute.run(backtest.evaluate, request)
        trades = chart.traded(backtest.trade_rows(result))
        return Tested((summary.ts, summary.param_key), result.start_ms, result.end_ms, trades)


def _none() -> MetricColumns:
    """Return no metrics: a percentile is not known then."""
    return page.columns([])[1]
