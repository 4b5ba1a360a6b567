"""The three loops over a folder of past candles, under a virtual clock: what ``replay`` shows, and ``explain`` looks into."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import anyio

from hotbandd import daemon, parts
from hotbandd.adapters import log, metrics
from hotbandd.adapters.clock import VirtualClock
from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.replay import ReplaySource
from hotbandd.adapters.store.memory import MemoryStore
from hotbandd.cli import common
from hotbandd.errors import UsageError
from hotbandd.services.hydrator import Hydrator
from hotbandd.services.loop import Due, Loop, LoopRunner
from hotbandd.settings import Settings, load, read_environment

PAIRS, SOURCE = "HOTBAND_PAIRS", "HOTBAND_SOURCE"
AHEAD_MS = 5000  # how long before a decision its candles are taken in


class BeforeDecisions:
    """The hydrator, woken before each decision: nobody reads in between."""

    name = Hydrator.name
    rank = Hydrator.rank

    def __init__(self, hydrator: Hydrator, decisions: tuple[Loop, ...]) -> None:
        self._hydrator = hydrator
        self._decisions = decisions
        self.deadline_sec = hydrator.deadline_sec

    def first_after(self, now_ms: int) -> int:
        """Return the moment after which the first step is due: at once."""
        return now_ms - 1

    def next_due(self, now_ms: int) -> Due:
        """Return the step before the next decision."""
        wake = min(loop.next_due(now_ms + AHEAD_MS).wake for loop in self._decisions) - AHEAD_MS
        return Due(wake, wake)

    async def step(self, due: Due) -> None:
        """Take in what has closed, and measure it."""
        await self._hydrator.step(due)


@dataclass(frozen=True)
class Replay:
    """A replay that stands at its first moment."""

    settings: Settings
    clock: VirtualClock
    store: MemoryStore
    desk: daemon.Desk

    async def run(self, until: int, moved: Callable[[int], None] = lambda _: None) -> None:
        """Run the loops up to a moment."""
        desk, context = self.desk, self.desk.context
        runner = LoopRunner(self.clock, context.telemetry, desk.health, context.leadership)
        decisions: tuple[Loop, ...] = (desk.evaluator, desk.allocator)

        async def member(loop: Loop) -> None:
            async with self.clock.member():
                await runner.run(loop)

        await desk.hydrator.step(Due(self.clock.now(), self.clock.now()))  # decisions wait for the history
        async with anyio.create_task_group() as group:
            for loop in (BeforeDecisions(desk.hydrator, decisions), *decisions):
                group.start_soon(member, loop)
            await self.clock.run(until, moved)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()


@asynccontextmanager
async def opened(
    candles: Path, first: int, last: int, env_file: Path | None, *, pace: float = inf, for_readers: bool = False
) -> AsyncIterator[Replay]:
    """Set a replay of a folder's candles up, from a first moment; ``last`` bounds what it may be run to.

    ``for_readers``: publish manifolds too, and not only what decisions read. Raises UsageError for days that the candles do not reach.
    """
    source = ReplaySource(candles)
    settings = await _settings(candles, source, env_file)
    await _covered(source, settings.pairs, first, last)
    log.configure("warning", settings.log_format, interactive=sys.stderr.isatty(), secrets=settings.secrets())
    clock = VirtualClock(first, pace=pace)
    store = MemoryStore(parts.ages(settings), clock.now)
    outside = daemon.Outside(store, source, InlineCompute(), clock, metrics.telemetry(clock.now))
    await store.init_kill_switch(engaged=False)
    desk = daemon.desk(settings, outside, for_readers=for_readers)
    lease = await store.acquire_lease("replay", 2**53)
    if lease is None:
        raise UsageError("The replay's own store is led by somebody else.")
    # Epochs come from the clock, which stands at the first day: the same input gives the same bytes.
    desk.context.leadership.gain(lease)
    try:
        yield Replay(settings, clock, store, desk)
    finally:
        await store.aclose()
        await source.aclose()


async def _settings(candles: Path, source: ReplaySource, env_file: Path | None) -> Settings:
    """Load the settings for the pairs that have files, unless HOTBAND_PAIRS names others."""
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


async def _covered(source: ReplaySource, pairs: tuple[str, ...], first: int, last: int) -> None:
    """Read the files, and refuse days that they say nothing about."""
    bounds = {pair: await source.bounds(pair) for pair in pairs}
    if all(last <= start or first >= end for start, end in bounds.values()):
        earliest, latest = min(start for start, _ in bounds.values()), max(end for _, end in bounds.values())
        raise UsageError(f"The candles reach from {text(earliest)} to {text(latest)}; choose days within.")


def text(moment: int) -> str:
    """Return a moment as people write it, UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M")
