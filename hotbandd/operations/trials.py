"""Trials: every combination of a grid back-tested, stored as it comes, and gone on with after an interruption."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final, NamedTuple

import anyio
import msgspec

from hotbandd.core import backtest, manifold, param_key, sweep, trials, winners
from hotbandd.core.backtest import Request
from hotbandd.core.candles import DAY_MS, Candles
from hotbandd.core.documents import Params
from hotbandd.core.series import Series
from hotbandd.core.sessions import Calendar
from hotbandd.core.setup import Setup
from hotbandd.core.sweep import Swept
from hotbandd.core.trial_documents import TradeRow, TrialRun, TrialTrades
from hotbandd.core.trials import Spec
from hotbandd.errors import InputError, UnhealthyError
from hotbandd.operations.progress import Progress
from hotbandd.ports import Compute, Store, TrialArchive

SETS_A_TASK: Final = 100  # a second of work or less, so that an interruption loses little
WITH_TRADES: Final = 100  # runs of an instrument whose trades are kept
BEFORE_DAYS: Final = 35  # candles before the window: windows, look-backs, percentiles
RENEW_SEC: Final = 20.0
GO_ON_MS: Final = 12 * 3_600_000  # an interrupted run is gone on with for so long; after that, all begins anew


class Done(NamedTuple):
    """What a run of trials did: combinations in all, those done now, and those done before an interruption."""

    spec: str
    total: int
    now: int
    before: int


class Task(NamedTuple):
    """One combination: its name among the finished ones, and what it runs with."""

    name: str
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
    workers: int
    holder: str
    progress: Progress

    async def run(self, spec: Spec, now: int) -> Done:
        """Run what of a spec is not finished. Raises InputError for an instrument without candles, UnhealthyError while others run."""
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
        candles = {pair: await self._candles(pair, spec, now) for pair in spec.instruments}
        if not goes_on:
            await self.archive.complete(name)
            await self.archive.begin(name, now)
        finished = await self.archive.finished(name)
        self.progress.begin("trials", total)
        done = 0
        for pair, held in candles.items():
            done += await self._instrument(spec, name, pair, held, finished, now)
        await self.archive.complete(name)
        self.progress.end(f"{done} runs of {len(candles)} instruments")
        return Done(name, total, done, total - done)

    async def _candles(self, pair: str, spec: Spec, now: int) -> Candles:
        since = now - (spec.window_days + BEFORE_DAYS) * DAY_MS
        candles = (await self.store.candles(pair, self.granularity, since, now)).candles
        if not candles.size:
            raise InputError(f"There are no stored candles of {pair}; run hotbandd warmup, or take it out of the spec.")
        return candles

    async def _instrument(
        self, spec: Spec, name: str, pair: str, candles: Candles, finished: set[str], now: int
    ) -> int:
        request = await self._request(spec, pair, candles)
        places = anyio.Semaphore(self.workers + 1)  # the next task waits at the pool's door, not all of them
        done = 0

        async def part(waiting: Sequence[Task]) -> None:
            try:
                sets = [task.params for task in waiting]
                swept = await self.compute.run(sweep.sweep, pair, request, self.setup, sets)
                rows = zip(waiting, swept, strict=True)
                runs = {task.name: _run_of(task, found, spec, name, request, pair, now) for task, found in rows}
                await self.archive.put_runs(name, runs)
                self.progress.advance(len(waiting))
            finally:
                places.release()

        async with anyio.create_task_group() as group:
            for chunk in _chunks(self._tasks(spec, pair)):
                waiting = [task for task in chunk if task.name not in finished]
                self.progress.advance(len(chunk) - len(waiting))
                done += len(waiting)
                if waiting:
                    await places.acquire()
                    group.start_soon(part, waiting)
        await self._keep_trades(name, pair, request, now)
        return done

    async def _request(self, spec: Spec, pair: str, candles: Candles) -> Request:
        """Measure candles, and gather all that runs over them depend on."""
        series = Series()
        series.add(candles)
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

    def _tasks(self, spec: Spec, pair: str) -> Iterator[Task]:
        extras = param_key.extras(pair, self.setup, self.default_setup)
        for params in trials.combinations(spec, pair, self.base[pair]):
            key = param_key.param_key(params, extras)
            yield Task(f"{pair}:{key}", key, params)

    async def _keep_trades(self, name: str, pair: str, request: Request, now: int) -> None:
        """Store the trades of the best runs, those of an earlier part included."""
        runs = [run for run in await self.archive.runs(now) if run.spec == name and run.instrument == pair]
        best = winners.ranked(runs)[:WITH_TRADES]
        params = [run.params for run in best]
        rows = await self.compute.run(sweep.trades_of_each, pair, request, self.setup, params)
        for run, trades in zip(best, rows, strict=True):
            kept = msgspec.convert(trades, list[TradeRow])
            await self.archive.put_trades(TrialTrades(run_id=run.run_id, trades=kept))


def _chunks(tasks: Iterator[Task]) -> Iterator[list[Task]]:
    while chunk := list(islice(tasks, SETS_A_TASK)):
        yield chunk


def _run_of(task: Task, found: Swept, spec: Spec, name: str, request: Request, pair: str, now: int) -> TrialRun:
    digest = sha256(task.key.encode()).hexdigest()[:12]
    return TrialRun(
        run_id=f"{name}-{pair}-{digest}",
        ts=now,
        instrument=pair,
        param_key=task.key,
        params=task.params,
        window_days=spec.window_days,
        summary=found.figures.spans[str(winners.figure_days(spec.window_days))],
        spec=name,
        end_ms=request.end_ms,
        daily=found.daily,
        sharpe=found.sharpe,
    )
