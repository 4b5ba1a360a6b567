"""What truly happened in the market, and how its source tells it: late, twice, out of order, wrongly at first, or not at all."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import anyio.lowlevel
import numpy as np

from hotbandd.adapters.simulator.market import week_of
from hotbandd.adapters.simulator.weeks import week_at
from hotbandd.core.candles import MINUTE_MS, Candles, Ints, concatenate, empty, of_any
from hotbandd.errors import RefusedError, SourceUnreachableError
from hotbandd.ports import Page
from tests.simulation.virtual_loop import PROCESS

PAGE = 2000
SETTLED_MS = 4 * MINUTE_MS  # within so long after its close a candle may still be corrected, or come late


class Market:
    """The candles of some pairs over some time, whole; some of them are told wrongly at first."""

    def __init__(self, pairs: Sequence[str], begin: int, end: int, seed: int) -> None:
        draw = random.Random(f"market {seed}")
        variety = draw.randrange(1000)
        self.candles = {pair: _with_holes(_of(pair, begin, end, variety), draw) for pair in pairs}
        self.first = {pair: _first_versions(candles, draw) for pair, candles in self.candles.items()}
        self._rows = {pair: _rows(candles) for pair, candles in self.candles.items()}
        self._first_rows = {pair: _rows(candles) for pair, candles in self.first.items()}

    def true(self, pair: str, t: int) -> tuple[float, ...] | None:
        """Return a minute's candle as it was in the end."""
        return self._rows[pair].get(t)

    def told(self, pair: str, t: int) -> set[tuple[float, ...] | None]:
        """Return all that a source that is well may have told of a minute."""
        return {self._rows[pair].get(t), self._first_rows[pair].get(t)} - {None}


def _of(pair: str, begin: int, end: int, variety: int) -> Candles:
    weeks = range(max(0, week_at(begin)), week_at(end) + 1)
    return concatenate(week_of(variety, pair, week) for week in weeks).between(begin, end)


def _with_holes(candles: Candles, draw: random.Random) -> Candles:
    """Leave out some hours: a market that is quiet."""
    kept = np.ones(candles.size, dtype=np.bool_)
    for _ in range(3):
        first = draw.randrange(candles.size)
        kept[first : first + draw.randrange(2, 150)] = False
    return candles.take(kept)


def _first_versions(candles: Candles, draw: random.Random) -> Candles:
    """Return candles as they were told at first, where that was not right."""
    wrong = candles.take(np.array(sorted(draw.sample(range(candles.size), candles.size // 400)), dtype=np.int64))
    return wrong._replace(volume=wrong.volume + 1.0, close=(wrong.high + wrong.low) / 2)


def _rows(candles: Candles) -> dict[int, tuple[float, ...]]:
    columns = [column.tolist() for column in candles]
    return {row[0]: row[1:] for row in zip(*columns, strict=True)}


@dataclass
class Hidden:
    """Minutes of a pair that the source keeps back until a moment."""

    pair: str
    start: int
    end: int
    until: int


@dataclass
class Faults:
    """What is wrong with the source, each until a moment; by pair, or of all (``None``)."""

    away: dict[str | None, int] = field(default_factory=dict)
    refusing: dict[str | None, int] = field(default_factory=dict)
    late: dict[str | None, tuple[int, int]] = field(default_factory=dict)  # until, by how much
    noisy: dict[str | None, int] = field(default_factory=dict)
    broken: dict[str | None, int] = field(default_factory=dict)  # fails after some of its pages
    hidden: list[Hidden] = field(default_factory=list)


class Source:
    """The candle source of all daemons; ``now`` is the true time."""

    name = "simulated"

    def __init__(self, market: Market, now: Callable[[], int], draw: random.Random) -> None:
        self.market = market
        self.faults = Faults()
        self.delivered: dict[tuple[object, str], int] = {}
        self.given: defaultdict[tuple[object, str], set[int]] = defaultdict(
            set
        )  # sound minutes, until the store has them
        self._now = now
        self._draw = draw

    async def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Iterate over pages of a range, as well as the present faults allow."""
        await anyio.lowlevel.checkpoint()
        if self._is(self.faults.away, instrument):
            if self._draw.random() < 0.3:
                await anyio.sleep(self._draw.uniform(0.1, 8))
            raise SourceUnreachableError("the source does not answer")
        if self._is(self.faults.refusing, instrument):
            raise RefusedError("the source refuses")
        found = self._seen(instrument, start_ms, end_ms)
        broken = self._is(self.faults.broken, instrument)
        for at in range(0, max(1, found.size), PAGE):
            page = found.take(slice(at, at + PAGE))
            key = (PROCESS.get(), instrument)
            if broken and (found.size <= PAGE or self._draw.random() < 0.5):
                page = page.take(slice(0, page.size // 2))
                self.given[key].update(page.t.tolist())
                yield Page(page, {})
                raise SourceUnreachableError("the source broke off")
            sound = page.t
            if self._is(self.faults.noisy, instrument):
                page, sound = self._spoilt(page)
            if page.size:
                self.delivered[key] = max(self.delivered.get(key, 0), int(page.t.max()))
            self.given[key].update(sound.tolist())
            yield Page(page, {})

    async def aclose(self) -> None:
        """Hold nothing."""

    def _is(self, faults: dict[str | None, int], pair: str) -> bool:
        return max(faults.get(pair, 0), faults.get(None, 0)) > self._now()

    def _seen(self, pair: str, start: int, end: int) -> Candles:
        """Return the candles that open in [start, end) as the source knows them by now."""
        now = self._now()
        delay = sum(by for until, by in map(self.faults.late.get, (pair, None), ((0, 0),) * 2) if until > now)
        known = self.market.candles[pair].between(start, end).closed_by(now - delay)
        for hole in self.faults.hidden:
            if hole.pair == pair and hole.until > now:
                known = known.take((known.t < hole.start) | (known.t >= hole.end))
        fresh = self.market.first[pair].between(now - MINUTE_MS - SETTLED_MS, now).closed_by(now)
        fresh = fresh.take(np.isin(fresh.t, known.t))
        if not fresh.size:
            return known
        old = known.take(~np.isin(known.t, fresh.t))
        joined = concatenate((old, fresh))
        return joined.take(np.argsort(joined.t, kind="stable"))

    def _spoilt(self, page: Candles) -> tuple[Candles, Ints]:
        """Put what cannot be true among the candles, or in the place of some; send some twice, or out of order.

        Return also which minutes are there as they should be.
        """
        draw = self._draw
        parts = [page]
        for _ in range(draw.randrange(1, 5)):
            row = page.take(slice(at := draw.randrange(page.size), at + 1)) if page.size else empty()
            if not row.size:
                continue
            kind = draw.choice(
                ["nan", "zero", "minus", "upside_down", "off_grid", "future", "again", "crossed", "wild"]
            )
            wrong = {
                "nan": row._replace(close=row.close * np.nan),
                "zero": row._replace(low=row.low * 0),
                "minus": row._replace(volume=-row.volume - 1),
                "upside_down": row._replace(high=row.low * 0.9),
                "off_grid": row._replace(t=row.t + draw.randrange(1, MINUTE_MS)),
                "future": row._replace(t=row.t + 7 * 86_400_000),
                "again": row,
                "crossed": row._replace(bid=row.close * 1.1, ask=row.close * 0.9),
                "wild": row._replace(open=row.open * np.inf),
            }[kind]
            parts.append(wrong)
            if kind not in ("off_grid", "future", "again") and draw.random() < 0.7:  # in the place of the right one
                parts[0] = parts[0].take(parts[0].t != row.t[0])
        joined = concatenate(parts)
        order = list(range(joined.size))
        if draw.random() < 0.5:
            draw.shuffle(order)
        return of_any(column[np.array(order, dtype=np.int64)] for column in joined), parts[0].t
