"""Back-fill: the candles that the store lacks, from the source, the newest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from hotbandd.core import candles as columns
from hotbandd.core import intervals
from hotbandd.core.backfill import missing_ranges, since
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.sessions import Calendar
from hotbandd.operations.progress import Progress
from hotbandd.ports import CandleSource, Page, Store


@dataclass(frozen=True)
class Wanted:
    """How far back candles are wanted: so many days, or, without them, so many minutes of an open market."""

    count: int
    days: int | None = None

    def since(self, calendar: Calendar, now: int) -> int:
        """Return the first open time wanted."""
        if self.days is not None:
            return (now - self.days * DAY_MS) // MINUTE_MS * MINUTE_MS
        return since(calendar, self.count, now)


@dataclass(frozen=True)
class Backfill:
    """Fetches what is missing; asked again, it goes on where it was interrupted, for what is stored is not fetched."""

    source: CandleSource
    store: Store
    calendar: Calendar
    granularity: str
    progress: Progress

    async def run(self, pairs: tuple[str, ...], wanted: Wanted, now: int) -> dict[str, int]:
        """Store the missing candles; return how many were new, by instrument. Raises HotbandError where a source refuses."""
        since = wanted.since(self.calendar, now)
        holes = {pair: await self._missing(pair, since, now) for pair in pairs}
        self.progress.begin("backfill", sum(map(len, holes.values())))
        stored = dict.fromkeys(pairs, 0)
        refused: Counter[str] = Counter()
        for pair, ranges in holes.items():
            for start, end in ranges:
                async for page in self._pages(pair, start, end, now):
                    await self.store.put_candles(pair, self.granularity, page.candles)
                    stored[pair] += page.candles.size
                    refused.update(page.refused)
                self.progress.advance()
        left_out = "".join(f", {count} left out as {reason}" for reason, count in sorted(refused.items()) if count)
        self.progress.end(f"{sum(stored.values())} candles of {len(pairs)} instruments{left_out}")
        return stored

    async def _missing(self, pair: str, since: int, now: int) -> list[tuple[int, int]]:
        there = (await self.store.candles(pair, self.granularity, since, now)).candles
        openings = intervals.clipped(self.calendar.week_openings(since, now), since, now // MINUTE_MS * MINUTE_MS)
        return missing_ranges(there.t, openings)

    async def _pages(self, pair: str, start: int, end: int, now: int) -> AsyncIterator[Page]:
        async for page in self.source.fetch(pair, start, end):
            checked = columns.check(page.candles, now_ms=now)
            yield Page(checked.candles, Counter(page.refused) + Counter(checked.refused))
