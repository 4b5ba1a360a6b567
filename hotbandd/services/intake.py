"""Intake: candles from the source into the series and the store, the newest first, nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import numpy as np
import structlog

from hotbandd.core import candles as columns
from hotbandd.core import intervals
from hotbandd.core.backfill import missing_ranges
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Ints
from hotbandd.errors import InputError, RefusedError, SourceUnreachableError
from hotbandd.ports import CandleSource
from hotbandd.services.context import Context
from hotbandd.together import together

log = structlog.get_logger()

OVERLAP_MS = 5 * MINUTE_MS  # asked for again every time, so that a late or corrected candle is taken
# Before the newest candle; a minute that is missing there is asked for again: it may have come late or spoilt. Long enough that after an
# hour of bad answers the first of them is still within.
REPAIR_MS = 120 * MINUTE_MS
RECENT_MS = 3 * DAY_MS  # fetched before the rest of the history, so that manifolds come at once
FAR_MS = 2**53
Range = tuple[int, int]


class _Again(NamedTuple):
    """A range of which something had to be refused: when it is asked for again, and how long that is after the last time, ms."""

    wanted: Range
    due: int
    pause: int


@dataclass
class _Backlog:
    """What is still to be done for one instrument."""

    ranges: list[Range] = field(default_factory=list)  # of the history, still to be fetched, newest first
    staged: list[Candles] = field(default_factory=list)  # history fetched; enters the series at once, measured once
    unsaved: Candles = field(default_factory=columns.empty)
    offered: Candles = field(default_factory=columns.empty)  # stored already, and to be taken in
    unsure: bool = False  # whether the store still holds what is held here
    refused: int = 0  # candles so far, in all
    again: dict[int, _Again] = field(default_factory=dict)  # by where they start


class Intake:
    """Fetches what is missing. A fault of one instrument is counted, and leaves the others alone.

    ``keeps``: store candles, for a start to come and for others to read.
    """

    def __init__(self, context: Context, source: CandleSource, hot_days: int, *, keeps: bool = True) -> None:
        self._market = context.market
        self._source = source
        self._keeps = keeps
        self._store = context.store
        self._telemetry = context.telemetry
        self._calendar = context.calendar
        self._hot_ms = hot_days * DAY_MS
        self._backlogs = {pair: _Backlog() for pair in context.market.pairs}

    @property
    def incomplete(self) -> list[str]:
        """The instruments whose history is still to be fetched, or some of it, or to be stored."""
        return [pair for pair, backlog in self._backlogs.items() if backlog.ranges or backlog.staged]

    async def restore(self, pairs: Iterable[str], now: int) -> None:
        """Read their stored history, and plan what of it has to be fetched; what this process holds already, the store gets back later."""
        oldest = self._oldest(now)
        for pair in pairs:
            series = self._market.series[pair]
            if series.size:
                self._backlogs[pair].unsure = True
                continue
            page = await self._store.candles(pair, self._market.granularity, oldest, now)
            self._count(pair, page.refused)
            series.add(page.candles)
            until = int(page.candles.t[-1]) if page.candles.size else self._recent(now)  # later ones come as recent
            openings = intervals.clipped(self._calendar.week_openings(oldest, until), oldest, until)
            backlog = self._backlogs[pair]
            spoilt = await self._spoilt(pair, openings) if page.refused else []
            backlog.ranges = sorted({*missing_ranges(page.candles.t, openings), *spoilt}, reverse=True)
            backlog.staged, backlog.again = [], {}
            log.info("intake.restored", instrument=pair, candles=page.candles.size, missing=len(backlog.ranges))

    async def _spoilt(self, pair: str, openings: Ints) -> list[Range]:
        """Return the ranges of open hours whose stored candles are not all what they should be."""
        ranges = missing_ranges(columns.empty().t, openings)
        pages = [await self._store.candles(pair, self._market.granularity, *each) for each in ranges]
        return [each for each, page in zip(ranges, pages, strict=True) if page.refused]

    async def give_back(self, now: int) -> None:
        """Store again what of the candles held here a store lost which began anew, or was restored from an older copy.

        Only days of which it has fewer than there are here are read, and the last minutes before: a copy may hold those as they were
        before they were corrected.
        """
        for pair, backlog in self._backlogs.items():
            if backlog.unsure:
                lost = await self._lost(pair, now)
                if lost.size:
                    log.warning("intake.given_back", instrument=pair, candles=lost.size)
                    await self._put(pair, lost)
                backlog.unsure = False

    async def _lost(self, pair: str, now: int) -> Candles:
        """Return the candles held here that the store does not hold, or holds otherwise."""
        parts, oldest = [], self._oldest(now)
        held = reduce(columns.merge, self._backlogs[pair].staged, self._market.series[pair].candles).between(
            oldest, now
        )
        for day in range(oldest, now, DAY_MS):
            first, end = np.searchsorted(held.t, (day, day + DAY_MS)).tolist()
            place = pair, self._market.granularity
            if first < end and await self._store.candle_count(*place, day, day + DAY_MS) < end - first:
                part = held.take(slice(max(0, first - OVERLAP_MS // MINUTE_MS), end))
                page = await self._store.candles(*place, int(part.t[0]), day + DAY_MS)
                self._count(pair, page.refused)
                parts.append(columns.changes(page.candles, part))
        return reduce(columns.merge, parts, columns.empty())

    def offer(self, pair: str, candles: Candles) -> None:
        """Take in candles that were fetched and stored elsewhere, with the next step."""
        backlog = self._backlogs[pair]
        backlog.offered = columns.merge(backlog.offered, candles)

    def _take_offered(self) -> None:
        """Take in what was offered, up to the newest candle that came by itself: a later one would hide what is still to be fetched."""
        for pair, backlog in self._backlogs.items():
            series, offered = self._market.series[pair], backlog.offered
            if offered.size and series.size:
                series.add(offered.between(0, series.newest + 1))
                backlog.offered = offered.between(series.newest + 1, FAR_MS)

    async def recent(self, now: int) -> None:
        """Fetch what closed since the newest candle, of every instrument side by side."""
        faults: list[SourceUnreachableError | RefusedError] = []

        async def one(pair: str) -> None:
            try:
                await self._newest(pair, now)
            except (SourceUnreachableError, RefusedError) as error:
                faults.append(error)
                self._warn(pair, error)
            except InputError as error:
                self._warn(pair, error)

        await self._for_each(self._market.pairs, one)
        self._take_offered()
        await self._save()
        if len(faults) == len(self._market.pairs):
            raise SourceUnreachableError(str(faults[0])) from faults[0]

    async def _newest(self, pair: str, now: int) -> None:
        """Fetch what closed since the newest candle, and what is missing shortly before it; after an absence, and in part, the history."""
        backlog, series = self._backlogs[pair], self._market.series[pair]
        wanted, before, refused = (self._since(pair, now), now), series.newest, backlog.refused
        try:
            await self._fetch(pair, wanted, now)
        finally:
            if backlog.refused > refused and series.newest - before > REPAIR_MS // 2:
                self._note(pair, wanted, now)
        due = [again for again in backlog.again.values() if again.due <= now]
        if due and not backlog.ranges and not backlog.staged:
            await self._fetch_whole(pair, due[0].wanted, now, pause=2 * due[0].pause)

    async def history(self, pairs: Sequence[str], now: int) -> None:
        """Fetch the history of some instruments, each as far as the source has it now."""

        async def one(pair: str) -> None:
            backlog = self._backlogs[pair]
            while backlog.ranges:
                try:
                    backlog.staged += await self._fetch_whole(pair, backlog.ranges[0], now, stage=True)
                except SourceUnreachableError as error:
                    self._warn(pair, error)
                    return
                del backlog.ranges[0]

        await self._for_each([pair for pair in pairs if self._backlogs[pair].ranges], one)
        await self._save()
        for pair in pairs:
            backlog = self._backlogs[pair]
            if not backlog.ranges and backlog.staged:
                staged = sorted(backlog.staged, key=lambda part: int(part.t[0]))
                joined = columns.check(
                    columns.concatenate(staged)
                ).candles  # a range that was spoilt may hold one that was missing
                self._market.series[pair].add(joined)
                backlog.staged = []
                await anyio.lowlevel.checkpoint()

    def forget(self, now: int) -> None:
        """Drop candles that are older than the history is long."""
        oldest = self._oldest(now)
        for pair, series in self._market.series.items():
            series.trim(oldest)
            backlog = self._backlogs[pair]
            backlog.unsaved = backlog.unsaved.take(backlog.unsaved.t >= oldest)

    async def _fetch_whole(
        self, pair: str, wanted: Range, now: int, *, pause: int = MINUTE_MS, stage: bool = False
    ) -> list[Candles]:
        """Fetch a range; where some of it had to be refused, or the source refuses it, it is asked for again later: nothing waits for that."""
        backlog, parts = self._backlogs[pair], list[Candles]()
        whole, refused = True, backlog.refused
        try:
            parts = await self._fetch(pair, wanted, now, stage=stage)
        except (RefusedError, InputError) as error:
            self._warn(pair, error)
            whole = False
        if whole and backlog.refused == refused:
            backlog.again.pop(wanted[0], None)
        else:
            self._note(pair, wanted, now, pause)
        return parts

    def _note(self, pair: str, wanted: Range, now: int, pause: int = MINUTE_MS) -> None:
        """Note that a range is to be asked for again after a pause; twice as long each time, until that would be too long."""
        backlog = self._backlogs[pair]
        if pause <= REPAIR_MS:
            backlog.again[wanted[0]] = _Again(wanted, now + pause, pause)
        else:
            backlog.again.pop(wanted[0], None)

    async def _fetch(self, pair: str, wanted: Range, now: int, *, stage: bool = False) -> list[Candles]:
        """Fetch a range into the series, or, to ``stage`` it, only return its parts; either way it is to be saved."""
        backlog = self._backlogs[pair]
        parts: list[Candles] = []
        async for page in self._source.fetch(pair, *wanted):
            checked = columns.check(page.candles, now_ms=now)
            self._count(pair, page.refused)
            self._count(pair, checked.refused)
            taken = checked.candles if stage else self._market.series[pair].add(checked.candles)
            if taken.size:
                parts.append(taken)
            if self._keeps:
                backlog.unsaved = columns.merge(backlog.unsaved, taken)
        return parts

    async def _save(self) -> None:
        """Store what the series took in; what the store does not take now stays for the next time."""

        async def one(pair: str) -> None:
            backlog = self._backlogs[pair]
            await self._put(pair, backlog.unsaved)
            backlog.unsaved = columns.empty()

        await together([pair for pair, backlog in self._backlogs.items() if backlog.unsaved.size], one)

    async def _put(self, pair: str, candles: Candles) -> None:
        await self._store.put_candles(pair, self._market.granularity, candles)
        self._telemetry.candles(pair, "stored", candles.size)

    async def _for_each(self, pairs: Iterable[str], one: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        async with anyio.create_task_group() as group:
            for pair in pairs:
                group.start_soon(one, pair)

    def _oldest(self, now: int) -> int:
        return (now - self._hot_ms) // MINUTE_MS * MINUTE_MS

    def _recent(self, now: int) -> int:
        return max(self._oldest(now), (now - RECENT_MS) // MINUTE_MS * MINUTE_MS)

    def _since(self, pair: str, now: int) -> int:
        """Return where to fetch from: the newest candle less an overlap, a missing minute before that, or the start of the recent days."""
        series = self._market.series[pair]
        if not series.size:
            return self._recent(now)
        overlap, first = series.newest - OVERLAP_MS, series.newest - REPAIR_MS
        there = series.take(slice(series.rank(first), None)).t
        missing = np.setdiff1d(np.arange(first, overlap, MINUTE_MS), there, assume_unique=True)
        return max(self._oldest(now), int(missing[0]) if missing.size else overlap)

    def _count(self, pair: str, refused: Mapping[str, int]) -> None:
        self._backlogs[pair].refused += sum(refused.values())
        for reason, count in refused.items():
            self._telemetry.candles(pair, reason, count)

    def _warn(self, pair: str, error: Exception) -> None:
        self._telemetry.loop_failed("hydrator", type(error).__name__)
        log.warning("intake.skipped", instrument=pair, error=str(error))
