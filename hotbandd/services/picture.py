"""What is published, read as any reader would, and put together as the page."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from importlib.metadata import version
from math import nan
from typing import Final, TypeVar

import anyio
import structlog

from hotbandd.core import page, schedule
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.documents import (
    AllocatorStatus,
    GatesBlob,
    GateState,
    Manifold,
    RollingSummary,
    Weights,
)
from hotbandd.core.entry_bounds import DailyBounds
from hotbandd.core.explanation import Known, Rulebook, explain
from hotbandd.core.gates import MANIFOLD_MAX_AGE_MS
from hotbandd.core.manifold_documents import Bounds
from hotbandd.core.page_documents import Allocation, Daemon, Day, Gates, Page, Row
from hotbandd.errors import CorruptPayloadError, UnreachableError
from hotbandd.services.allocator import Allocator
from hotbandd.services.context import Context
from hotbandd.services.evaluator import Evaluator
from hotbandd.services.health import Health

log = structlog.get_logger()

T = TypeVar("T")

VERSION: Final = version("hotband")
SUBSCRIBE_AGAIN_SEC: Final = 1.0
FILLING_SEC: Final = 10.0  # between two looks at the last day while the history is filled in


@dataclass(frozen=True)
class Shown:
    """The parts of a daemon that its page shows. ``source``: the name of where its candles come from."""

    context: Context
    evaluator: Evaluator
    allocator: Allocator
    health: Health
    source: str


class Picture:
    """What was read of the store so far; a row is made anew only where something that it shows has changed."""

    def __init__(self, shown: Shown) -> None:
        context = shown.context
        self._shown = shown
        self._market = context.market
        self._store = context.store
        self._clock = context.clock
        self._calendar = context.calendar
        self._bounds = DailyBounds()
        self._blob: GatesBlob | None = None
        self._weights: Weights | None = None
        self._status: AllocatorStatus | None = None
        self._engaged: bool | None = None
        self._looked = False
        self._fault: str | None = None
        self._states: dict[str, GateState | None] = {}
        self._summaries: dict[str, RollingSummary | None] = {}
        self._manifolds: dict[str, Manifold | None] = {}
        self._dirty = set(self._market.pairs)
        self._boundary = 0
        self._rows: dict[str, Row] = {}
        self._days: dict[str, Day] = {}
        self._days_of: tuple[int, int | None] = (-1, None)

    # ---- reading

    async def follow(self) -> None:
        """Take manifolds in as they are published; after a gap, read them all."""
        while True:
            try:
                async with self._store.manifolds() as published:
                    for pair in self._market.pairs:
                        self._take(pair, await self._readable(self._store.manifold(pair)))
                    async for document in published:
                        self._take(document.instrument, document)
            except UnreachableError as error:
                self._fault = str(error)
            await anyio.sleep(SUBSCRIBE_AGAIN_SEC)

    def _take(self, pair: str, document: Manifold | None) -> None:
        if pair in self._market.series and (document is not None or self._manifolds.get(pair) is None):
            self._manifolds[pair] = document
            self._dirty.add(pair)

    async def look(self) -> None:
        """Read what is not announced, or is read together with it."""
        store = self._store
        try:
            blob = await self._readable(store.gates_blob())
            weights = await self._readable(store.weights())
            status = await self._readable(store.allocator_status())
            self._engaged = await self._readable(store.kill_switch())
            if blob != self._blob or not self._states:
                for pair in self._market.pairs:
                    self._states[pair] = await self._readable(store.gate_state(pair))
                    self._summaries[pair] = await self._readable(store.summary(pair))
            await self._look_back()
        except UnreachableError as error:
            self._fault = str(error)
            return
        if (blob, weights, status) != (self._blob, self._weights, self._status) or self._clock.now() >= self._boundary:
            self._dirty.update(self._market.pairs)
        self._blob, self._weights, self._status, self._fault = blob, weights, status, None
        self._looked = True

    async def _readable(self, reading: Awaitable[T | None]) -> T | None:
        """Read a document; one that is corrupt counts as missing."""
        try:
            return await reading
        except CorruptPayloadError as error:
            log.warning("page.corrupt", error=str(error))
            return None

    async def _look_back(self) -> None:
        """Sum up the last day of each instrument, once per quarter of an hour: from memory where it is there, else from the store."""
        now = self._clock.now()
        end = now - now % page.STEP_MS
        filled = self._market.loaded.is_set() or not self._shown.context.leadership.leading
        filling = None if filled else int(time.monotonic() / FILLING_SEC)
        if (end, filling) == self._days_of:
            return
        for pair in self._market.pairs:
            series = self._market.series[pair]
            stamps, metrics = series.recent(now, DAY_MS // MINUTE_MS + 15)
            if not stamps.size:
                stamps, metrics = page.columns(await self._store.manifold_history(pair, end - DAY_MS, end))
            self._days[pair] = page.day(stamps, metrics, now)
            await anyio.lowlevel.checkpoint()
        self._days_of = end, filling

    # ---- building

    def build(self, number: int) -> Page:
        """Return the page as it is by now, as a version."""
        now, pairs = self._clock.now(), self._market.pairs
        self._renew_rows(now)
        exit_minutes = self._shown.evaluator.rules.gate.exit_minutes
        return Page(
            version=number,
            now=now,
            stale_after_ms=MANIFOLD_MAX_AGE_MS,
            daemon=self._daemon(),
            kill_switch=page.kill_switch(self._engaged) if self._looked else page.UNKNOWN_SWITCH,
            sessions=page.sessions(self._calendar, pairs, now, exit_minutes),
            gates=self._gates(now),
            allocation=self._allocation(now),
            instruments=dict(self._rows),
            days=dict(self._days),
        )

    def _renew_rows(self, now: int) -> None:
        rules = self._shown.evaluator.rules
        dirty, self._dirty = self._dirty, set()
        for pair in [pair for pair in self._market.pairs if pair in dirty]:
            known = Known(
                summary=self._summaries.get(pair),
                state=self._states.get(pair),
                blob=self._blob,
                manifold=self._manifolds.get(pair),
                weights=self._weights,
                status=self._status,
            )
            explained = explain(pair, known, self._rulebook(pair), self._calendar, now)
            self._rows[pair] = page.row(explained, known.manifold, self._weights, self._status, self._candle_at(pair))
        if now >= self._boundary:
            self._boundary = self._calendar.next_boundary(self._market.pairs, now, rules.gate.exit_minutes)

    def _rulebook(self, pair: str) -> Rulebook:
        rules = self._shown.evaluator.rules
        series, specs = self._market.series[pair], rules.bounds
        if specs.relative and series.measured:
            bounds = self._bounds.newest(specs, pair, series, series.measured)
        else:
            bounds = Bounds(*(nan if isinstance(spec, str) else spec for spec in specs.all))
        return Rulebook(rules.gate, rules.interval_sec, rules.floors, rules.adaptive_share, specs, bounds)

    def _candle_at(self, pair: str) -> int | None:
        series, document = self._market.series[pair], self._manifolds.get(pair)
        stamps = [series.newest + MINUTE_MS] if series.size else []
        stamps += [document.ts] if document is not None else []
        return max(stamps, default=None)

    def _daemon(self) -> Daemon:
        leader = self._shown.context.leadership.leader
        fault = self._fault
        return Daemon(
            version=VERSION,
            source=self._shown.source,
            speed=self._clock.speed,
            leading=self._shown.context.leadership.leading,
            holder=leader.holder if leader else None,
            epoch=leader.epoch if leader else None,
            store_up=fault is None,
            healthy=self._shown.health.alive,
            loaded=self._market.loaded.is_set(),
            troubles=self._troubled(),
        )

    def _troubled(self) -> list[str]:
        """Return what is amiss with this process, a sentence each."""
        found = [] if self._fault is None else [self._fault]
        if silent := self._shown.health.silent():
            found.append(f"{', '.join(silent)} did not report in time.")
        if not self._market.loaded.is_set() and self._shown.context.leadership.leading:
            found.append("The history is still being filled in; gates are judged once it is there.")
        faults = {name: state.fault for name, state in self._shown.health.loops.items() if state.fault}
        return [*found, *(f"{name}: {fault}" for name, fault in faults.items() if fault not in found)]

    def _gates(self, now: int) -> Gates:
        rules, allocation = self._shown.evaluator.rules, self._shown.allocator.rules.allocation
        slot = schedule.next_slot(now, rules.interval_sec, rules.lag_sec)
        return page.gates(
            self._blob,
            self._market.pairs,
            rules.gate,
            max_age_sec=allocation.gates_max_age_sec,
            interval_sec=rules.interval_sec,
            next_at=schedule.due_at(slot, rules.lag_sec),
        )

    def _allocation(self, now: int) -> Allocation:
        rules = self._shown.allocator.rules
        slot = schedule.next_slot(now, rules.interval_sec, rules.lag_sec)
        next_at = schedule.due_at(slot, rules.lag_sec)
        return page.allocation(self._weights, self._status, rules.allocation, rules.interval_sec, next_at)
