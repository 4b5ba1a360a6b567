"""Trials: every combination of a grid back-tested, stored as it comes, and gone on with after an interruption."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

import anyio
import msgspec

from hotbandd.core import backtest, listing, manifold, param_key, sweep, trials, winners
from hotbandd.core.backtest import Request
from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import Params
from hotbandd.core.series import Series
from hotbandd.core.sessions import Calendar
from hotbandd.core.setup import Setup
from hotbandd.core.sweep import Swept
from hotbandd.core.trial_documents import TradeRow, TrialRun, TrialTrades
from hotbandd.core.trials import Spec
from hotbandd.errors import InputError, UnhealthyError
from hotbandd.operations.progress import Progress
from hotbandd.ports import Compute, Shared, Store, TrialArchive

SET_DAYS_A_TASK: Final = (
    15_000  # back-tested in some tenths of a second: enough for a scheduler to keep up with many workers
)
BEST: Final = 100  # runs of an instrument that stand one by one beside the packs, with their trades
BEFORE_DAYS: Final = 35  # candles before the window: windows, look-backs, percentiles
AHEAD: Final = 2  # tasks per worker: one at work, and one that waits at its door
RENEW_SEC: Final = 20.0
GO_ON_MS: Final = 12 * 3_600_000  # an interrupted run is gone on with for so long; after that, all begins anew


class Done(NamedTuple):
    """What a run of trials did: combinations in all, those done now, and those done before an interruption."""

    spec: str
    total: int
    now: int
    before: int


class Task(NamedTuple):
    """One combination: the id of its run, its name, and what it runs with."""

    run_id: str
    key: str
    params: Params


@dataclass(frozen=True)
class Trials:
    """Runs specs. ``base``: the parameters in force, over which a spec lies; ``holder`` names who runs, for the lock."""

    store: Store
    archive: TrialArchive
    compute: Compute
    calendar: Calendar
    setup: Setup
    default_setup: Setup
    base: Mapping[str, Params]
    family: manifold.Family
    granularity: str
    holder: str
    progress: Progress

    async def run(self, spec: Spec, now: int) -> Done:
        """Run what of a spec is not finished.

        Raises InputError for an instrument without candles, SettingsError for one without a session, UnhealthyError while others run.
        """
        if not await self.archive.lock(self.holder):
            raise UnhealthyError("Trials run already; wait until they end, or a minute after they died.")
        async with self._locked():
            return await self._run(spec, now)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Keep the lock while this lasts."""

        async def renew() -> None:
            while True:
                await anyio.sleep(RENEW_SEC)
                await self.archive.lock(self.holder)

        async with anyio.create_task_group() as group:
            group.start_soon(renew)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True), anyio.move_on_after(2):
                    await self.archive.unlock(self.holder)

    async def _run(self, spec: Spec, now: int) -> Done:
        name, total = trials.spec_hash(spec), trials.count(spec)
        started = await self.archive.started(name)
        goes_on = started is not None and 0 <= now - started < GO_ON_MS
        now = started if goes_on and started is not None else now  # so that all runs see the same candles
        for pair in spec.instruments:
            if not await self.store.candle_count(pair, self.granularity, _since(spec, now), now):
                raise InputError(
                    f"There are no stored candles of {pair}; run hotbandd warmup, or take it out of the spec."
                )
        self.calendar.check(spec.instruments)
        if not goes_on:
            await self.archive.complete(name)
            await self.archive.begin(name, now)
        course = _Course(spec, name, now, await self.archive.finished(name), self.compute)
        self.progress.begin("trials", total)
        async with anyio.create_task_group() as group:
            for pair in spec.instruments:
                course.widen()
                await course.instruments.acquire_on_behalf_of(pair)
                group.start_soon(self._instrument, course, pair)
        if course.done + course.before != total:  # what is not done must not be forgotten, whatever went wrong
            raise UnhealthyError(
                f"{course.done + course.before} of {total} combinations ran; run the same command again to go on."
            )
        await self.archive.complete(name)
        self.progress.end(f"{course.done} runs of {len(spec.instruments)} instruments")
        return Done(name, total, course.done, course.before)

    async def _instrument(self, course: _Course, pair: str) -> None:
        """Run what is not finished of an instrument: its candles and metrics go to the workers once."""
        try:
            earlier = [run for run in await self.archive.packed(course.packs[pair]) if run.ts == course.now]
            finished, best = {run.run_id for run in earlier}, _best(earlier)
            if await self._all_done(course, pair, finished, best):
                return
            request = await self._request(course, pair)
            async with self.compute.share(request) as shared, anyio.create_task_group() as group:
                part = _Part(course, pair, request.end_ms, shared, best)
                for chunk in _chunks(self._tasks(course, pair), course.sets):
                    waiting = [task for task in chunk if task.run_id not in finished]
                    self._found(course, len(chunk) - len(waiting))
                    if waiting:
                        course.widen()
                        await course.tasks.acquire_on_behalf_of(waiting[0].run_id)
                        group.start_soon(self._sets, part, waiting)
            await self._keep_best(pair, shared, part.best)
        finally:
            course.instruments.release_on_behalf_of(pair)

    async def _all_done(self, course: _Course, pair: str, finished: set[str], best: Sequence[TrialRun]) -> bool:
        """Tell whether nothing of an instrument is left to do: its runs are stored, and so are the trades that are stored last."""
        if not best or await self.archive.trades(best[-1].run_id) is None:
            return False
        wanted = [task.run_id for task in self._tasks(course, pair)]
        if not finished.issuperset(wanted):
            return False
        self._found(course, len(wanted))
        return True

    def _found(self, course: _Course, count: int) -> None:
        """Count combinations that were finished before."""
        course.before += count
        self.progress.advance(count)

    async def _request(self, course: _Course, pair: str) -> Request:
        """Measure candles, and gather all that runs over them depend on."""
        spec, now = course.spec, course.now
        series = Series()
        series.add((await self.store.candles(pair, self.granularity, _since(spec, now), now)).candles)
        structures = await self.compute.run(
            manifold.structures_of, self.family, [manifold.pending(series, self.family)]
        )
        manifold.complete(series, structures[0], self.family)
        return backtest.request_of(
            pair,
            series.candles,
            series.metrics,
            self.calendar,
            self.setup,
            self.base[pair],
            days=spec.window_days,
        )

    async def _sets(self, part: _Part, waiting: Sequence[Task]) -> None:
        """Run some parameter sets, and store what came of them."""
        try:
            sets = [task.params for task in waiting]
            swept = await part.shared.run(sweep.sweep, part.pair, self.setup, sets)
            runs = [part.run_of(task, found) for task, found in zip(waiting, swept, strict=True)]
            await self.archive.put_pack(part.course.name, runs)
            part.best = _best([*part.best, *runs])
            part.course.done += len(waiting)
            self.progress.advance(len(waiting))
        finally:
            part.course.tasks.release_on_behalf_of(waiting[0].run_id)

    def _tasks(self, course: _Course, pair: str) -> Iterator[Task]:
        extras = param_key.extras(pair, self.setup, self.default_setup)
        for params in trials.combinations(course.spec, pair, self.base[pair]):
            key = param_key.param_key(params, extras)
            yield Task(listing.run_id(course.name, pair, key), key, params)

    async def _keep_best(self, pair: str, shared: Shared[Request], best: Sequence[TrialRun]) -> None:
        """Store the best runs, those of an earlier part included, one by one, and their trades."""
        rows = await shared.run(sweep.trades_of_each, pair, self.setup, [run.params for run in best])
        await self.archive.put_runs(best)
        for run, trades in zip(best, rows, strict=True):
            kept = msgspec.convert(trades, list[TradeRow])
            await self.archive.put_trades(TrialTrades(run_id=run.run_id, trades=kept))


class _Course:
    """A run of a spec under way: what is finished, and how many instruments and tasks of theirs may be under way at once."""

    def __init__(
        self,
        spec: Spec,
        name: str,
        now: int,
        finished: Iterable[str],
        compute: Compute,
    ) -> None:
        self.spec = spec
        self.name = name
        self.now = now
        self.packs: dict[str, list[str]] = {pair: [] for pair in spec.instruments}
        for pack_id in finished:
            of = listing.named(pack_id)
            if of is not None and of.spec == name:
                self.packs.get(of.instrument, []).append(pack_id)
        self.done = self.before = 0
        self.sets = max(1, SET_DAYS_A_TASK // spec.window_days)
        self.tasks = anyio.CapacityLimiter(1)
        self.instruments = anyio.CapacityLimiter(1)
        self._compute = compute
        self._tasks_each = max(1, trials.count(spec) // len(spec.instruments) // self.sets)

    def widen(self) -> None:
        """Let so many be under way that no worker waits, however many there are by now; each instrument takes some MB."""
        self.tasks.total_tokens = AHEAD * self._compute.width
        self.instruments.total_tokens = 2 + AHEAD * self._compute.width // self._tasks_each


@dataclass
class _Part:
    """One instrument of a course, and its best runs so far."""

    course: _Course
    pair: str
    end_ms: int
    shared: Shared[Request]
    best: list[TrialRun]

    def run_of(self, task: Task, found: Swept) -> TrialRun:
        """Return what is stored of a run."""
        spec = self.course.spec
        return TrialRun(
            run_id=task.run_id,
            ts=self.course.now,
            instrument=self.pair,
            param_key=task.key,
            params=task.params,
            window_days=spec.window_days,
            summary=found.figures.spans[str(winners.figure_days(spec.window_days))],
            spec=self.course.name,
            end_ms=self.end_ms,
            daily=found.daily,
            sharpe=found.sharpe,
        )


def _since(spec: Spec, now: int) -> int:
    return now - (spec.window_days + BEFORE_DAYS) * DAY_MS


def _best(runs: Sequence[TrialRun]) -> list[TrialRun]:
    return winners.ranked(runs)[:BEST]


def _chunks(tasks: Iterator[Task], size: int) -> Iterator[list[Task]]:
    while chunk := list(islice(tasks, size)):
        yield chunk
