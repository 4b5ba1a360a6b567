"""What the page shows, read from Valkey alone: for ``status`` and ``watch``."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from importlib.metadata import version
from typing import Any, Final, NamedTuple, TypeVar

from anyio.lowlevel import checkpoint

from hotbandd import parts
from hotbandd.cli import common
from hotbandd.core import page, schedule, words
from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import (
    AllocatorStatus,
    ClockAnchor,
    GatesBlob,
    GateState,
    Manifold,
    RollingSummary,
    Weights,
)
from hotbandd.core.explanation import Known, explain
from hotbandd.core.gates import MANIFOLD_MAX_AGE_MS
from hotbandd.core.page_documents import Daemon, Day, Page, Row
from hotbandd.errors import CorruptPayloadError, UnreachableError
from hotbandd.ports import Lease, Store
from hotbandd.settings import Settings

T = TypeVar("T")

DAYS_A_LOOK: Final = 8  # instruments whose last day is read with one look
NAMED: Final = 8  # instruments that a fault names


class Published(NamedTuple):
    """What all instruments share, as published; None for what is missing or cannot be read."""

    leader: Lease | None
    engaged: bool | None
    blob: GatesBlob | None
    weights: Weights | None
    status: AllocatorStatus | None


class Own(NamedTuple):
    """What is published about one instrument."""

    manifold: Manifold | None
    summary: RollingSummary | None
    state: GateState | None


class Looker:
    """Looks at Valkey again and again, and tells what the page would show; what did not change is not made anew.

    A server that is away leaves the last picture, which grows old and says so.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._calendar = parts.calendar(settings)
        self._rulebook = parts.rulebook(settings)
        self._allocator = parts.allocator(settings)
        self._anchor: ClockAnchor | None = None
        self._seen: Published | None = None
        self._own: dict[str, Own] = {}
        self._rows: dict[str, Row] = {}
        self._days: dict[str, Day] = {}
        self._boundary = 0
        self._version = 0
        self._unread: list[str] = []
        self.fault: str | None = None
        self.seen_at: int | None = None

    def now(self) -> int:
        """Return the moment by the daemon's clock, which need not be the real one."""
        wall, anchor = common.wall_ms(), self._anchor
        return wall if anchor is None else anchor.anchor_virtual + int((wall - anchor.anchor_wall) * anchor.speed)

    def documents(self) -> dict[str, Any]:
        """Return what was read, as it is published, by what it is."""
        seen = self._published()
        return {
            "now": self.now(),
            "leader": None if seen.leader is None else seen.leader._asdict(),
            "kill_switch": seen.engaged,
            "blob": seen.blob,
            "weights": seen.weights,
            "status": seen.status,
            "manifolds": {pair: own.manifold for pair, own in self._own.items()},
            "summaries": {pair: own.summary for pair, own in self._own.items()},
            "states": {pair: own.state for pair, own in self._own.items()},
        }

    async def look(self, *, days: int = DAYS_A_LOOK) -> Page:
        """Look once; ``days``: of so many instruments the last day is read, where it is out of date."""
        try:
            self._unread = []
            await self._read(days)
            self.fault, self.seen_at = None, self.now()
        except UnreachableError as error:
            self.fault = str(error)
        self._version += 1
        return self._page()

    async def _read(self, days: int) -> None:
        store = self._store
        self._anchor = await self._readable(store.clock())
        seen = Published(
            leader=await self._readable(store.leader()),
            engaged=await self._readable(store.kill_switch()),
            blob=await self._readable(store.gates_blob()),
            weights=await self._readable(store.weights()),
            status=await self._readable(store.allocator_status()),
        )
        evaluated = self._seen is None or seen.blob != self._seen.blob
        changed = evaluated or self._seen is None or seen[3:] != self._seen[3:] or self.now() >= self._boundary
        own = {pair: await self._one(pair, evaluated=evaluated) for pair in self._pairs(seen.blob)}
        stale = [pair for pair, one in own.items() if changed or self._own.get(pair) != one or pair not in self._rows]
        self._seen, self._own = seen, own
        self._rows = {pair: self._rows[pair] if pair not in stale else self._row(pair) for pair in own}
        self._boundary = self._calendar.next_boundary(own, self.now(), self._rulebook.gate.exit_minutes)
        await self._look_back(days)

    def _pairs(self, blob: GatesBlob | None) -> Sequence[str]:
        """Return the instruments of the settings, and what a daemon with other settings follows besides."""
        return list(dict.fromkeys((*self._settings.pairs, *(blob.gates if blob is not None else ()))))

    async def _one(self, pair: str, *, evaluated: bool) -> Own:
        before = self._own.get(pair)
        manifold = await self._readable(self._store.manifold(pair))
        if before is not None and not evaluated:
            return before._replace(manifold=manifold)
        return Own(
            manifold,
            await self._readable(self._store.summary(pair)),
            await self._readable(self._store.gate_state(pair)),
        )

    async def _readable(self, reading: Awaitable[T | None]) -> T | None:
        """Read a document; one that cannot be read counts as missing, and is told."""
        try:
            return await reading
        except CorruptPayloadError as error:
            self._unread.append(str(error))
            return None

    async def _look_back(self, most: int) -> None:
        """Sum up the last day of some instruments: a quarter of an hour is one value."""
        end = self.now() - self.now() % page.STEP_MS
        waiting = [pair for pair in self._own if pair not in self._days or self._days[pair].end != end]
        for pair in waiting[:most]:
            points = await self._store.manifold_history(pair, end - DAY_MS, end)
            self._days[pair] = page.day(*page.columns(points), end)
            await checkpoint()

    def _row(self, pair: str) -> Row:
        seen, own = self._published(), self._own[pair]
        known = Known(
            summary=own.summary,
            state=own.state,
            blob=seen.blob,
            manifold=own.manifold,
            weights=seen.weights,
            status=seen.status,
        )
        explained = explain(pair, known, self._rulebook, self._calendar, self.now())
        return page.row(explained, own.manifold, seen.weights, seen.status, own.manifold.ts if own.manifold else None)

    def _published(self) -> Published:
        return self._seen or Published(None, None, None, None, None)

    def _page(self) -> Page:
        seen, now, pairs = self._published(), self.now(), tuple(self._own or self._settings.pairs)
        evaluation, lag_sec = self._rulebook.interval_sec, self._settings.decision_lag_sec
        allocation = self._allocator.interval_sec if seen.status is None else seen.status.interval_sec
        return Page(
            version=self._version,
            now=now,
            stale_after_ms=MANIFOLD_MAX_AGE_MS,
            daemon=self._daemon(seen, now),
            kill_switch=page.UNKNOWN_SWITCH if self._seen is None else page.kill_switch(seen.engaged),
            sessions=page.sessions(self._calendar, pairs, now, self._rulebook.gate.exit_minutes),
            gates=page.gates(
                seen.blob,
                pairs,
                self._rulebook.gate,
                max_age_sec=self._settings.gates_blob_max_age_sec,
                interval_sec=evaluation,
                next_at=schedule.due_at(schedule.next_slot(now, evaluation, lag_sec), lag_sec),
            ),
            allocation=page.allocation(
                seen.weights,
                seen.status,
                self._allocator.allocation,
                allocation,
                schedule.due_at(schedule.next_slot(now, allocation, lag_sec), lag_sec),
            ),
            instruments=dict(self._rows),
            days={pair: self._days[pair] for pair in self._rows if pair in self._days},
        )

    def _daemon(self, seen: Published, now: int) -> Daemon:
        troubles = [*([self.fault] if self.fault else self._faults(seen, now)), *self._unread]
        sources = {own.manifold.diagnostics.source for own in self._own.values() if own.manifold is not None}
        return Daemon(
            version=version("hotband"),
            source=", ".join(sorted(sources)),
            speed=1.0 if self._anchor is None else self._anchor.speed,
            leading=False,
            holder=seen.leader.holder if seen.leader else None,
            epoch=seen.leader.epoch if seen.leader else None,
            store_up=self.fault is None,
            healthy=not troubles,
            loaded=seen.blob is not None,
            troubles=troubles,
        )

    def _faults(self, seen: Published, now: int) -> list[str]:
        """Return what is missing or old, a sentence each."""
        found = []
        if seen.leader is None:
            found.append("Nobody leads: no daemon publishes.")
        if seen.blob is None:
            found.append("There is no gates blob: the evaluator has not published, or not for too long.")
        elif now - seen.blob.evaluated_ts > self._settings.gates_blob_max_age_sec * 1000:
            found.append(f"The gates are STALE: {words.duration(now - seen.blob.evaluated_ts)} old.")
        if seen.status is None:
            found.append("The allocator has not reported for two intervals.")
        elif now - seen.status.ts > 2 * seen.status.interval_sec * 1000:
            found.append(f"The allocator's report is STALE: {words.duration(now - seen.status.ts)} old.")
        trading = [pair for pair in self._own if self._calendar.closes_at(pair, now) is not None]
        missing = [pair for pair in trading if self._own[pair].manifold is None]
        if missing:
            named = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
            found.append(f"No fresh manifold of {named}: no candles came for five minutes.")
        return found
