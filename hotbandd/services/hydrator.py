"""The hydrator: candles in, manifolds out, at every processing interval."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from anyio.lowlevel import checkpoint

from hotbandd.core import manifold, manifold_documents
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Ints
from hotbandd.core.entry_bounds import DailyBounds, EntryBounds
from hotbandd.core.manifold_documents import Form, Origin
from hotbandd.core.series import MetricColumns, Series
from hotbandd.errors import SourceUnreachableError
from hotbandd.ports import Lease, ManifoldUpdate
from hotbandd.services.context import Context
from hotbandd.services.intake import Intake
from hotbandd.services.loop import Due
from hotbandd.together import together

log = structlog.get_logger()

HERE_CANDLES = (
    100  # up to so many candles are measured here, within a millisecond: as long as a worker's answer takes alone
)
TASK_CANDLES = 20_000
PACKED_A_STEP = 32  # days, some 3 ms each
LOADED_TOGETHER = 16  # instruments whose histories are loaded side by side


@dataclass(frozen=True)
class HydratorRules:
    """What the hydrator needs of the settings; times in seconds.

    ``for_readers``: publish manifolds with their texture, signals and candles too, and not only what decisions read; and pack what
    is old, as a process that stays has to.
    """

    interval_sec: float
    lag_sec: float
    source: str
    family: manifold.Family
    form: Form
    bounds: EntryBounds
    for_readers: bool = True


class Hydrator:
    """Takes candles in, measures the windows that they end, and publishes the newest manifold of each instrument."""

    name = "hydrator"
    rank = 0

    def __init__(
        self,
        context: Context,
        intake: Intake,
        rules: HydratorRules,
        give_back_memory: Callable[[], None] = lambda: None,
    ) -> None:
        self._give_back_memory = give_back_memory
        self.rules = rules
        self._market = context.market
        self._intake = intake
        self._store = context.store
        self._compute = context.compute
        self._clock = context.clock
        self._leadership = context.leadership
        self._telemetry = context.telemetry
        self._bounds = DailyBounds()
        self._epoch = -1
        self._published: dict[str, int] = {}
        self.deadline_sec = max(60.0, 3 * rules.interval_sec / context.clock.speed) + len(context.market.pairs)

    def next_due(self, now_ms: int) -> Due:
        """Return the next step: multiples of the interval, off the slots by at most half a decision lag."""
        step = int(self.rules.interval_sec * 1000)
        offset = int(min(self.rules.interval_sec, self.rules.lag_sec) * 500)
        moment = ((now_ms - offset) // step + 1) * step + offset
        return Due(moment, moment)

    def first_after(self, now_ms: int) -> int:
        """Return the moment after which the first step is due: at once."""
        return now_ms - int(self.rules.interval_sec * 1000)

    async def step(self, due: Due) -> None:
        """Take in what closed since the last step, and publish; then go on with the history while there is time."""
        try:
            await self._take_in(due)
        finally:  # whatever is away, so that no outage lets anything grow
            self._intake.forget(self._clock.now())

    async def _take_in(self, due: Due) -> None:
        lease = await self._leadership.held()
        if lease.epoch != self._epoch:
            await self._restore(lease)
        try:
            await self._intake.recent(self._clock.now())
        except SourceUnreachableError:
            await self._make_do()
            raise
        await self._measure()
        await self._publish(lease)
        await self._intake.give_back(self._clock.now())
        if not self._market.loaded.is_set():
            await self._load(lease, until=self.next_due(due.moment).wake)
        await self._pack(self._market.pairs, most=PACKED_A_STEP)

    async def _restore(self, lease: Lease) -> None:
        """Begin with what the store holds. Give back what it lost of what is known here: the history first, for decisions read it."""
        for pair, series in self._market.series.items():
            if series.measured:
                await self._give_back(lease, pair, series)
        self._published.clear()
        self._market.settle(lease.epoch)
        for some in _parted(self._market.pairs):
            await self._intake.restore(some, self._clock.now())
            await self._measure()
            await self._pack(some)
        self._epoch = lease.epoch

    async def _give_back(self, lease: Lease, pair: str, series: Series) -> None:
        """Write the points of the last day that the store lost."""
        rules, day = self.rules, series.newest - DAY_MS
        start = series.rank(day, "right")
        rows = manifold_documents.rows_of(series, start, rules.family, rules.form, textured=rules.for_readers)
        points = manifold_documents.points(rows)
        stored = await self._store.manifold_history(pair, day, series.newest + MINUTE_MS)
        kept = {point.ts for point in stored}
        lost = [point for point in points if point.ts not in kept]
        if lost:
            log.warning("hydrator.given_back", instrument=pair, points=len(lost))
            outcome = await self._store.put_manifold_history(lease, pair, lost)
            self._leadership.accept(outcome, f"the history of {pair}", lease)

    async def _make_do(self) -> None:
        """While the source is away, let decisions go on with the stored history, where that is whole."""
        if self._market.loaded.is_set() or self._intake.incomplete:
            return
        if all(series.size for series in self._market.series.values()):
            await self._measure()
            log.warning("hydrator.loaded_without_source")
            self._market.loaded.set()

    async def _load(self, lease: Lease, until: int) -> None:
        """Go on with the history, a few instruments at a time, until the next step is due, or the source has none of it now."""
        for some in _parted(self._intake.incomplete):
            known = {
                pair: (self._published.pop(pair), self._last_day(self._market.series[pair]))
                for pair in some
                if pair in self._published
            }
            await self._intake.history(some, self._clock.now())
            await self._measure()
            for pair, (published, day) in known.items():
                if _same(day, self._last_day(self._market.series[pair])):  # else its hazards look back further now
                    self._published[pair] = published
            await self._publish(lease)
            await self._pack(some)
            if self._clock.now() >= until:
                break
        if not self._intake.incomplete:
            log.info("hydrator.loaded", candles={pair: s.size for pair, s in self._market.series.items()})
            self._market.loaded.set()

    def _last_day(self, series: Series) -> tuple[Ints, MetricColumns]:
        last = slice(series.rank(series.newest - DAY_MS, "right"), None)
        return series.take(last).t.copy(), MetricColumns(*(column.copy() for column in series.measures(last)))

    async def _measure(self) -> None:
        """Measure the windows that new candles end, of several instruments together while those are few."""
        waiting = [series for series in self._market.series.values() if series.measured < series.size]
        await together(_tasks(waiting), self._measure_some, at_once=2 * self._compute.width)

    async def _measure_some(self, series: list[Series]) -> None:
        began = time.perf_counter()
        family = self.rules.family
        columns = [manifold.pending(one, family) for one in series]
        if sum(one.size - one.measured for one in series) <= HERE_CANDLES:
            structures = manifold.structures_of(family, columns)
        else:
            structures = await self._compute.run(manifold.structures_of, family, columns)
        for one, structure in zip(series, structures, strict=True):
            manifold.complete(one, structure, family)
        self._telemetry.kernel(time.perf_counter() - began)

    async def _pack(self, pairs: Iterable[str], most: int | None = None) -> None:
        """Pack the days that no step looks at any more, after a start all of them, then one per instrument and day.

        ``most``: so many days, as the same day of all instruments grows old at the same minute.
        """
        if not self.rules.for_readers:
            return
        packed, incomplete = 0, set(self._intake.incomplete)
        for pair in pairs:
            series = self._market.series[pair]
            while pair not in incomplete and packed != most and series.pack():
                packed += 1
                await checkpoint()
            series.tighten()
        if packed:
            self._give_back_memory()

    async def _publish(self, lease: Lease) -> None:
        async def one(pair: str) -> None:
            if self.rules.for_readers:
                await self._publish_one(lease, pair, self._market.series[pair])
            else:
                await self._publish_points(lease, pair, self._market.series[pair])

        filled = {pair: series.newest for pair, series in self._market.series.items() if series.size}
        for pair, newest in filled.items():
            self._telemetry.newest_candle(pair, newest + MINUTE_MS)
        due = [pair for pair, newest in filled.items() if newest > self._published.get(pair, -1)]
        first = [pair for pair in due if pair not in self._published]
        later = [pair for pair in due if pair in self._published]
        # The first time a whole day goes out, long work each: side by side, they would keep the event loop from everything else.
        await together(first, one, at_once=1)
        await together(later, one)

    async def _publish_one(self, lease: Lease, pair: str, series: Series) -> None:
        rules = self.rules
        bounds = self._bounds.newest(rules.bounds, pair, series, series.size)
        origin = Origin(rules.source, lease.epoch, series.newest + MINUTE_MS)
        rows = manifold_documents.rows_of(series, self._unpublished(pair, series), rules.family, rules.form)
        document = manifold_documents.document(series, pair, rules.family, bounds, rules.form, origin, rows.texture)
        if document is None:
            return
        first = self._published.get(pair)
        points, signals = manifold_documents.points(rows), manifold_documents.signals(rows, rules.family)
        if first is None:
            await self._store.put_manifold_history(lease, pair, points)
            points = points[-1:]
        outcome = await self._store.publish_manifold(lease, ManifoldUpdate(document, points, signals))
        self._leadership.accept(outcome, f"the manifold of {pair}", lease)
        self._published[pair] = series.newest
        self._telemetry.manifold(document)

    async def _publish_points(self, lease: Lease, pair: str, series: Series) -> None:
        """Publish the history alone."""
        rules = self.rules
        start = self._unpublished(pair, series)
        rows = manifold_documents.rows_of(series, start, rules.family, rules.form, textured=False)
        outcome = await self._store.put_manifold_history(lease, pair, manifold_documents.points(rows))
        self._leadership.accept(outcome, f"the history of {pair}", lease)
        self._published[pair] = series.newest

    def _unpublished(self, pair: str, series: Series) -> int:
        """Return the index of the first candle that is to be published: what is new, at first a day."""
        since = self._published.get(pair, series.newest - DAY_MS)
        return series.rank(since, "right")


def _parted(pairs: Sequence[str]) -> list[Sequence[str]]:
    """Return instruments in parts, so few that their histories do not matter to the memory while they are not packed."""
    return [pairs[start : start + LOADED_TOGETHER] for start in range(0, len(pairs), LOADED_TOGETHER)]


def _tasks(waiting: Iterable[Series]) -> list[list[Series]]:
    """Return series as tasks of so many candles to measure, or of one series with more."""
    tasks: list[list[Series]] = []
    room = 0
    for series in waiting:
        size = series.size - series.measured
        if size > room:
            tasks.append([])
            room = TASK_CANDLES
        tasks[-1].append(series)
        room -= size
    return tasks


def _same(one: tuple[Ints, MetricColumns], other: tuple[Ints, MetricColumns]) -> bool:
    columns = zip((one[0], *one[1]), (other[0], *other[1]), strict=True)
    return all(np.array_equal(mine, others, equal_nan=True) for mine, others in columns)
