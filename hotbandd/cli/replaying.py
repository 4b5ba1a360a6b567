"""The three loops over a folder of past candles, under a virtual clock: what ``replay`` shows, and ``explain`` looks into."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import anyio

from hotbandd import daemon, parts
from hotbandd.adapters import log, metrics, strategies
from hotbandd.adapters.clock import VirtualClock
from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.live_params import FileParams, FixedParams
from hotbandd.adapters.replay import HeldSource, ReplaySource
from hotbandd.adapters.store.memory import MemoryStore
from hotbandd.cli import common
from hotbandd.core import manifold_documents
from hotbandd.core.documents import Manifold
from hotbandd.core.manifold_documents import Bounds, Origin
from hotbandd.core.series import Series
from hotbandd.errors import UsageError
from hotbandd.ports import CandleSource, Clock
from hotbandd.services.hydrator import Hydrator
from hotbandd.services.intake import Intake
from hotbandd.services.loop import Due, Loop, LoopRunner
from hotbandd.settings import DASK, Settings, load, read_environment

PAIRS, SOURCE = "HOTBAND_PAIRS", "HOTBAND_SOURCE"
AHEAD_MS = 6 * 3_600_000  # taken in at once: decisions see no candle that closes after them


class Ahead:
    """A clock that shows what another one will, some hours on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""
        return self._clock.speed

    slowest = speed

    def now(self) -> int:
        """Return the moment some hours on, UTC epoch ms."""
        return self._clock.now() + AHEAD_MS

    async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
        """Wait until this clock shows a moment."""
        await self._clock.sleep_until(moment_ms - AHEAD_MS, rank=rank)


@dataclass(frozen=True)
class Replay:
    """A replay that stands at its first moment."""

    settings: Settings
    clock: VirtualClock
    store: MemoryStore
    desk: daemon.Desk

    async def run(self, until: int, moved: Callable[[int], None] = lambda _: None, *, allocating: bool = True) -> None:
        """Run the loops up to a moment, the allocator's too unless only gates are asked for."""
        desk, context, ahead = self.desk, self.desk.context, Ahead(self.clock)

        async def member(loop: Loop, clock: Clock) -> None:
            async with self.clock.member():
                await LoopRunner(clock, context.telemetry, desk.health, context.leadership).run(loop)

        await desk.hydrator.step(Due(ahead.now(), ahead.now()))  # decisions wait for the history
        async with anyio.create_task_group() as group:
            for loop in desk.loops if allocating else (desk.hydrator, desk.evaluator):
                group.start_soon(member, loop, ahead if loop is desk.hydrator else self.clock)
            await self.clock.run(until, moved)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    def manifold(self, pair: str, moment: int) -> tuple[Manifold | None, Bounds]:
        """Return the manifold of the newest candle closed by a moment, and the entry bounds in force at it."""
        rules = self.desk.hydrator.rules
        candles, metrics = self.desk.context.market.series[pair].until(moment)
        series = Series()
        series.add(candles)
        series.fill(metrics)
        bounds = rules.bounds.at_newest(candles.t, metrics)
        origin = Origin(rules.source, 0, moment)
        return manifold_documents.document(series, pair, rules.family, bounds, rules.form, origin), bounds


@asynccontextmanager
async def opened(source: CandleSource, settings: Settings, first: int, *, pace: float = inf) -> AsyncIterator[Replay]:
    """Set a replay up, from a first moment. Its hydrator publishes only what decisions read."""
    log.configure("warning", settings.log_format, interactive=sys.stderr.isatty(), secrets=settings.secrets())
    clock = VirtualClock(first, pace=pace)
    store = MemoryStore(parts.ages(settings), clock.now)
    live_params = FixedParams(await FileParams(Path(settings.home), strategies.rules()).read())
    compute = daemon.compute_of(settings) if settings.compute.startswith(DASK) else InlineCompute()
    outside = daemon.Outside(store, source, compute, clock, metrics.telemetry(clock.now), live_params)
    await store.init_kill_switch(engaged=False)
    desk = _reading_ahead(daemon.desk(settings, outside), outside, settings)
    lease = await store.acquire_lease("replay", 2**53)
    if lease is None:
        raise UsageError("The replay's own store is led by somebody else.")
    # Epochs come from the clock, which stands at the first day: the same input gives the same bytes.
    desk.context.leadership.gain(lease)
    try:
        yield Replay(settings, clock, store, desk)
    finally:
        await compute.aclose()
        await store.aclose()
        await source.aclose()


def _reading_ahead(desk: daemon.Desk, outside: daemon.Outside, settings: Settings) -> daemon.Desk:
    """Have the hydrator take hours of candles in at once, and publish only what decisions read."""
    context = replace(desk.context, clock=Ahead(outside.clock))
    rules = replace(desk.hydrator.rules, interval_sec=AHEAD_MS / 1000, for_readers=False)
    # A day more than a decision reads, since the hydrator forgets by a clock that runs ahead.
    intake = Intake(context, outside.source, settings.candle_retention_days + 1, keeps=False)
    return replace(desk, hydrator=Hydrator(context, intake, rules))


async def settings_of(candles: Path, source: ReplaySource, env_file: Path | None) -> Settings:
    """Load the settings for the pairs that have files, unless HOTBAND_PAIRS names others. Raises UsageError where files are missing."""
    found = await source.instruments()
    if not found:
        raise UsageError(f"There are no candle files in {candles}; name one after each instrument, as EUR_USD_M1.csv.")
    inputs = read_environment(env_file)
    given = load({**inputs.environ, SOURCE: f"replay:{candles}"}, inputs.env_file_text, credentials=inputs.credentials)
    common.warn(given)
    pairs = found if given.sources[PAIRS] == "default" else list(given.settings.pairs)
    missing = sorted(set(pairs) - set(found))
    if missing:
        raise UsageError(f"There are no candles of {', '.join(missing)} in {candles}; add them, or set {PAIRS}.")
    return replace(given.settings, pairs=tuple(pairs))


async def covered(source: HeldSource, pairs: tuple[str, ...], first: int, last: int) -> None:
    """Read the files, and refuse days that they say nothing about."""
    bounds = {pair: await source.bounds(pair) for pair in pairs}
    if all(last <= start or first >= end for start, end in bounds.values()):
        earliest, latest = min(start for start, _ in bounds.values()), max(end for _, end in bounds.values())
        raise UsageError(
            f"The candles reach from {common.moment_text(earliest)} to {common.moment_text(latest)}; choose a time within."
        )
