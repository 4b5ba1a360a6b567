"""The back-tests of all instruments, carried on from slot to slot."""

from __future__ import annotations

import numpy as np
from anyio.lowlevel import checkpoint

from hotbandd.core import backtest, rolling, spans
from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import Params
from hotbandd.core.rolling import Rolling
from hotbandd.core.sessions import Calendar
from hotbandd.core.setup import Setup
from hotbandd.core.spans import Figures
from hotbandd.ports import Compute
from hotbandd.services.market import Market

_NONE = np.empty(0, dtype=np.int64)
NOTHING = spans.figures(np.empty(0), _NONE, _NONE, 0, dict.fromkeys(spans.spans_of(backtest.RUN_DAYS), 0.0))


class Backtests:
    """Runs that can be carried on are, here, within a fraction of a millisecond; any other is a task of the pool."""

    def __init__(self, market: Market, calendar: Calendar, compute: Compute, hot_days: int) -> None:
        self._hot_ms = hot_days * DAY_MS
        self._market = market
        self._calendar = calendar
        self._compute = compute
        self._rolling = {pair: Rolling(pair, calendar) for pair in market.pairs}

    def here(self, setup: Setup, params: Params) -> bool:
        """Tell whether a run takes no worker, so that there is nothing to wait for side by side."""
        return rolling.carries(setup, params)

    async def figures(self, pair: str, slot: int, setup: Setup, params: Params) -> Figures:
        """Return the figures of the run over the hot days' candles closed by a slot, however many more are held in memory.

        Without a candle none of its spans is covered. Raises what the run raises.
        """
        await checkpoint()
        series = self._market.series[pair]
        since = slot - self._hot_ms
        seen = series.span(slot, since)
        if seen.start == seen.stop:
            return NOTHING
        if rolling.carries(setup, params):
            carried = self._rolling[pair]
            while not carried.advance(series, slot, setup, params, since):
                await checkpoint()
            return carried.figures(series, slot, setup, params, since)
        candles, metrics = series.take(seen), series.measures(seen)
        request = backtest.request_of(pair, candles, metrics, self._calendar, setup, params)
        return (await self._compute.run(backtest.evaluate, request)).figures
