"""The simulated market as a source of candles."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import anyio.to_thread

from hotbandd.adapters.simulator.defaults import DEFAULT_SEED
from hotbandd.adapters.simulator.market import week_of
from hotbandd.adapters.simulator.regimes import Regime, describe
from hotbandd.adapters.simulator.weeks import week_at
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, check, concatenate, empty
from hotbandd.ports import Page

_KEPT_MS = DAY_MS // 2
NEAR_MS = 180 * MINUTE_MS  # as far as the minutes that are asked for again reach


class SimulatedSource:
    """Candles of any instrument from 2024 on, always the same for the same seed, however they are asked for.

    The market has no present: whoever asks bounds the range by the own clock.
    """

    name = "simulated"

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self._seed = seed
        self._near: dict[str, tuple[int, Candles]] = {}

    async def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Iterate, a week to a page, over the candles that open at or after the start and close by the end."""
        if end_ms - start_ms <= NEAR_MS:
            candles = (await self._nearby(instrument, start_ms)).between(start_ms, end_ms).closed_by(end_ms)
            if candles.size:
                yield Page(candles, {})
            return
        async for made in self._weeks(instrument, start_ms, end_ms):
            self._remember(instrument, end_ms - NEAR_MS, made)
            page = Page(*check(made.between(start_ms, end_ms).closed_by(end_ms)))
            if page.candles.size:
                yield page

    async def _weeks(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Candles]:
        """Iterate over the weeks of a range, each of them whole."""
        for week in range(max(0, week_at(start_ms)), week_at(end_ms) + 1):
            yield await anyio.to_thread.run_sync(week_of, self._seed, instrument, week)

    async def _nearby(self, instrument: str, start_ms: int) -> Candles:
        """Return candles that hold NEAR_MS from a moment on: whoever watches the newest minutes asks for the next ones soon."""
        since, near = self._near.get(instrument, (start_ms + 1, empty()))
        if not since <= start_ms <= since + _kept_ms(instrument) - NEAR_MS:
            since = start_ms - NEAR_MS
            weeks = [week async for week in self._weeks(instrument, since, since + _kept_ms(instrument))]
            near = self._remember(instrument, since, concatenate(weeks))
        return near

    def _remember(self, instrument: str, since: int, made: Candles) -> Candles:
        """Keep some of the candles from a moment on, if all of those are made; return them."""
        until = since + _kept_ms(instrument)
        near = check(made.between(since, until)).candles
        if made.size and week_at(since) <= week_at(int(made.t[0])) and week_at(until) <= week_at(int(made.t[-1])):
            self._near[instrument] = since, near
        return near

    def describe(self, instrument: str, t_ms: int) -> Regime:
        """Return the regime of a moment."""
        return describe(instrument, t_ms, self._seed)

    async def aclose(self) -> None:
        """Hold nothing, so release nothing."""


def _kept_ms(instrument: str) -> int:
    """Return how many candles are kept, as a time: of each instrument others, so that they are not all made anew in the same minute."""
    return _KEPT_MS + zlib.crc32(instrument.encode()) % _KEPT_MS
