"""The simulated market as a source of candles."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio.to_thread

from hotbandd.adapters.simulator.defaults import DEFAULT_SEED
from hotbandd.adapters.simulator.market import week_of
from hotbandd.adapters.simulator.regimes import Regime, describe
from hotbandd.adapters.simulator.weeks import week_at
from hotbandd.core.candles import check
from hotbandd.ports import Page


class SimulatedSource:
    """Candles of any instrument from 2024 on, always the same for the same seed, however they are asked for.

    The market has no present: whoever asks bounds the range by the own clock.
    """

    name = "simulated"

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self._seed = seed

    async def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Iterate, a week to a page, over the candles that open at or after the start and close by the end."""
        first = max(0, week_at(start_ms))
        for week in range(first, week_at(end_ms) + 1):
            made = await anyio.to_thread.run_sync(week_of, self._seed, instrument, week)
            page = Page(*check(made.between(start_ms, end_ms).closed_by(end_ms)))
            if page.candles.size:
                yield page

    def describe(self, instrument: str, t_ms: int) -> Regime:
        """Return the regime of a moment."""
        return describe(instrument, t_ms, self._seed)

    async def aclose(self) -> None:
        """Hold nothing, so release nothing."""
