"""The page, kept up for as long as somebody looks at it: one picture for all of them, and what changes in it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from math import nan
from typing import Final, TypeVar

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from hotbandd.core import page, schedule
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.documents import (
    AllocatorStatus,
    GatesBlob,
    GateState,
    Manifold,
    RollingSummary,
    Weights,
    encode,
)
from hotbandd.core.explanation import Known, Rulebook, explain
from hotbandd.core.gates import MANIFOLD_MAX_AGE_MS
from hotbandd.core.manifold_documents import Bounds
from hotbandd.core.page_documents import Allocation, Beat, Daemon, Day, Gates, Page, Row, Update
from hotbandd.errors import CorruptPayloadError, UnreachableError
from hotbandd.services.allocator import Allocator
from hotbandd.services.context import Context
from hotbandd.services.evaluator import Evaluator
from hotbandd.services.health import Health

log = structlog.get_logger()

T = TypeVar("T")

TICK_SEC: Final = 1.0  # between two looks at the store
BEAT_SEC: Final = 3.0  # the longest silence towards a listener
LINGER_SEC: Final = 15.0  # the picture is kept up so long after the last look at it
FIRST_SEC: Final = 10.0  # the first picture has to be there by then
LISTENERS: Final = 32
QUEUE: Final = 16  # updates that a listener may lag behind
SUBSCRIBE_AGAIN_SEC: Final = 1.0
FILLING_SEC: Final = 10.0  # between two looks at the last day while the history is filled in
PAUSE_SEC: Final = 5.0  # after a failure


@dataclass
class _Seen:
    """What was read of the store, and the instruments whose rows are out of date."""

    blob: GatesBlob | None = None
    weights: Weights | None = None
    status: AllocatorStatus | None = None
    engaged: bool | None = None
    looked: bool = False
    states: dict[str, GateState | None] = field(default_factory=dict)
    summaries: dict[str, RollingSummary | None] = field(default_factory=dict)
    manifolds: dict[str, Manifold | None] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    rows: dict[str, Row] = field(default_factory=dict)
    days: dict[str, Day] = field(default_factory=dict)
    days_of: tuple[int, int | None] = (-1, None)
    boundary: int = 0
    fault: str | None = None


class Pages:
    """Builds the page from what is published, as any reader would, while somebody looks; costs nothing otherwise."""

    def __init__(
        self,
        context: Context,
        evaluator: Evaluator,
        allocator: Allocator,
        health: Health,
        *,
        source: str,
    ) -> None:
        self._market = context.market
        self._store = context.store
        self._clock = context.clock
        self._calendar = context.calendar
        self._leadership = context.leadership
        self._evaluator = evaluator
        self._allocator = allocator
        self._source = source
        self._health = health
        self._version = time.time_ns() // 1_000_000
        self._seen = _Seen(dirty=set(context.market.pairs))
        self._page: Page | None = None
        self._encoded: tuple[int, bytes] = (-1, b"")
        self._listeners: set[MemoryObjectSendStream[Update]] = set()
        self._wanted_until = 0.0
        self._wanted = anyio.Event()
        self._built = anyio.Event()

    # ---- for who looks

    @property
    def room(self) -> bool:
        """Whether one more may listen."""
        return len(self._listeners) < LISTENERS

    async def snapshot(self) -> bytes | None:
        """Return the page as JSON; None where it cannot be had in time."""
        self._want()
        with anyio.move_on_after(FIRST_SEC):
            await self._built.wait()
        return None if self._page is None else self._whole(self._page)

    @asynccontextmanager
    async def listen(self, since: int | None) -> AsyncIterator[MemoryObjectReceiveStream[Update]]:
        """Receive updates, the first of them the whole page unless ``since`` is its version.

        Who lags too far behind is cut off, and may listen anew.
        """
        send, receive = anyio.create_memory_object_stream[Update](QUEUE)
        self._want()
        if self._page is not None and self._page.version != since:
            send.send_nowait(Update(self._page.version, "page", self._whole(self._page)))
        self._listeners.add(send)
        with send, receive:
            try:
                yield receive
            finally:
                self._listeners.discard(send)
                self._want()

    def _want(self) -> None:
        self._wanted_until = time.monotonic() + LINGER_SEC
        self._wanted.set()

    def _whole(self, one: Page) -> bytes:
        if self._encoded[0] != one.version:
            self._encoded = one.version, encode(one)
        return self._encoded[1]

    # ---- keeping it up

    async def run(self) -> None:
        """Keep the page up whenever somebody looks, for ever. It is a window: whatever becomes of it, the loops go on."""
        try:
            while True:
                await self._wanted.wait()
                try:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._follow)
                        await self._keep_up()
                        tasks.cancel_scope.cancel()
                except Exception:
                    log.exception("page.failed")
                    await anyio.sleep(PAUSE_SEC)
                self._rest()
        finally:
            self._let_go()

    async def _keep_up(self) -> None:
        told = 0.0
        while self._listeners or time.monotonic() < self._wanted_until:
            began = time.monotonic()
            await self._look()
            changed = self._renew()
            if changed is not None:
                self._send(changed)
                told = began
            elif began - told >= BEAT_SEC and self._page is not None:
                beat = Beat(version=self._page.version, now=self._clock.now())
                self._send(Update(self._page.version, "beat", encode(beat)))
                told = began
            self._built.set()
            await anyio.sleep(max(0.1, TICK_SEC - (time.monotonic() - began)))

    def _let_go(self) -> None:
        for listener in tuple(self._listeners):
            listener.close()
        self._listeners.clear()

    def _rest(self) -> None:
        self._let_go()
        self._wanted, self._built = anyio.Event(), anyio.Event()
        self._seen, self._page = _Seen(dirty=set(self._market.pairs)), None

    def _send(self, update: Update) -> None:
        for listener in tuple(self._listeners):
            try:
                listener.send_nowait(update)
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._listeners.discard(listener)
                listener.close()

    # ---- reading

    async def _follow(self) -> None:
        """Take manifolds in as they are published; after a gap, read them all."""
        while True:
            try:
                async with self._store.manifolds() as published:
                    for pair in self._market.pairs:
                        self._take(pair, await self._readable(self._store.manifold(pair)))
                    async for document in published:
                        self._take(document.instrument, document)
            except UnreachableError as error:
                self._seen.fault = str(error)
            await anyio.sleep(SUBSCRIBE_AGAIN_SEC)

    def _take(self, pair: str, document: Manifold | None) -> None:
        if pair in self._market.series and (document is not None or self._seen.manifolds.get(pair) is None):
            self._seen.manifolds[pair] = document
            self._seen.dirty.add(pair)

    async def _look(self) -> None:
        """Read what is not announced, or is read together with it."""
        seen, store = self._seen, self._store
        try:
            blob = await self._readable(store.gates_blob())
            weights = await self._readable(store.weights())
            status = await self._readable(store.allocator_status())
            seen.engaged = await self._readable(store.kill_switch())
            if blob != seen.blob or not seen.states:
                for pair in self._market.pairs:
                    seen.states[pair] = await self._readable(store.gate_state(pair))
                    seen.summaries[pair] = await self._readable(store.summary(pair))
            await self._look_back()
        except UnreachableError as error:
            seen.fault = str(error)
            return
        if (blob, weights, status) != (seen.blob, seen.weights, seen.status) or self._clock.now() >= seen.boundary:
            seen.dirty.update(self._market.pairs)
        seen.blob, seen.weights, seen.status, seen.fault = blob, weights, status, None
        seen.looked = True

    async def _readable(self, reading: Awaitable[T | None]) -> T | None:
        """Read a document; one that is corrupt counts as missing."""
        try:
            return await reading
        except CorruptPayloadError as error:
            log.warning("page.corrupt", error=str(error))
            return None

    async def _look_back(self) -> None:
        """Sum up the last day of each instrument, once per quarter of an hour: from memory where it is there, else from the store."""
        seen, now = self._seen, self._clock.now()
        end = now - now % page.STEP_MS
        filling = None if self._market.loaded.is_set() else int(time.monotonic() / FILLING_SEC)
        if (end, filling) == seen.days_of:
            return
        for pair in self._market.pairs:
            series = self._market.series[pair]
            stamps, metrics = series.recent(now, DAY_MS // MINUTE_MS + 15)
            if not stamps.size:
                stamps, metrics = page.columns(await self._store.manifold_history(pair, end - DAY_MS, end))
            seen.days[pair] = page.day(stamps, metrics, now)
            await anyio.lowlevel.checkpoint()
        seen.days_of = end, filling

    # ---- building

    def _renew(self) -> Update | None:
        """Build the page anew, and return what is to be told of it."""
        old, new = self._page, self._built_page()
        if old is None:
            self._page = new
            return Update(new.version, "page", self._whole(new))
        changed = page.change(old, new)
        if changed is None:
            return None
        self._page = new
        return Update(new.version, "change", encode(changed))

    def _built_page(self) -> Page:
        seen, now, pairs = self._seen, self._clock.now(), self._market.pairs
        self._renew_rows(now)
        self._version = max(self._version + 1, time.time_ns() // 1_000_000)
        exit_minutes = self._evaluator.rules.gate.exit_minutes
        return Page(
            version=self._version,
            now=now,
            stale_after_ms=MANIFOLD_MAX_AGE_MS,
            daemon=self._daemon(),
            kill_switch=page.kill_switch(seen.engaged) if seen.looked else page.UNKNOWN_SWITCH,
            sessions=page.sessions(self._calendar, pairs, now, exit_minutes),
            gates=self._gates(now),
            allocation=self._allocation(now),
            instruments=dict(seen.rows),
            days=dict(seen.days),
        )

    def _renew_rows(self, now: int) -> None:
        seen = self._seen
        rules = self._evaluator.rules
        dirty, seen.dirty = seen.dirty, set()
        for pair in [pair for pair in self._market.pairs if pair in dirty]:
            known = Known(
                summary=seen.summaries.get(pair),
                state=seen.states.get(pair),
                blob=seen.blob,
                manifold=seen.manifolds.get(pair),
                weights=seen.weights,
                status=seen.status,
            )
            explained = explain(pair, known, self._rulebook(pair), self._calendar, now)
            seen.rows[pair] = page.row(explained, known.manifold, seen.weights, seen.status, self._candle_at(pair))
        if now >= seen.boundary:
            seen.boundary = self._calendar.next_boundary(self._market.pairs, now, rules.gate.exit_minutes)

    def _rulebook(self, pair: str) -> Rulebook:
        rules = self._evaluator.rules
        series, specs = self._market.series[pair], rules.bounds
        if specs.relative and series.measured:
            bounds = specs.at_newest(
                series.candles.t[: series.measured], series.metrics.take(slice(0, series.measured))
            )
        else:
            bounds = Bounds(*(nan if isinstance(spec, str) else spec for spec in specs.all))
        return Rulebook(rules.gate, rules.interval_sec, rules.floors, rules.adaptive_share, specs, bounds)

    def _candle_at(self, pair: str) -> int | None:
        series, document = self._market.series[pair], self._seen.manifolds.get(pair)
        stamps = [series.newest + MINUTE_MS] if series.size else []
        stamps += [document.ts] if document is not None else []
        return max(stamps, default=None)

    def _daemon(self) -> Daemon:
        leader = self._leadership.leader
        fault = self._seen.fault
        return Daemon(
            version=version("hotband"),
            source=self._source,
            speed=self._clock.speed,
            leading=self._leadership.leading,
            holder=leader.holder if leader else None,
            epoch=leader.epoch if leader else None,
            store_up=fault is None,
            healthy=self._health.alive,
            loaded=self._market.loaded.is_set(),
            troubles=self._troubled(),
        )

    def _troubled(self) -> list[str]:
        """Return what is amiss with this process, a sentence each."""
        found = [] if self._seen.fault is None else [self._seen.fault]
        if silent := self._health.silent():
            found.append(f"{', '.join(silent)} did not report in time.")
        if not self._market.loaded.is_set() and self._leadership.leading:
            found.append("The history is still being filled in; gates are judged once it is there.")
        faults = {name: state.fault for name, state in self._health.loops.items() if state.fault}
        return [*found, *(f"{name}: {fault}" for name, fault in faults.items() if fault not in found)]

    def _gates(self, now: int) -> Gates:
        rules, allocation = self._evaluator.rules, self._allocator.rules.allocation
        slot = schedule.next_slot(now, rules.interval_sec, rules.lag_sec)
        return page.gates(
            self._seen.blob,
            self._market.pairs,
            rules.gate,
            max_age_sec=allocation.gates_max_age_sec,
            interval_sec=rules.interval_sec,
            next_at=schedule.due_at(slot, rules.lag_sec),
        )

    def _allocation(self, now: int) -> Allocation:
        seen, rules = self._seen, self._allocator.rules
        slot = schedule.next_slot(now, rules.interval_sec, rules.lag_sec)
        next_at = schedule.due_at(slot, rules.lag_sec)
        return page.allocation(seen.weights, seen.status, rules.allocation, rules.interval_sec, next_at)
