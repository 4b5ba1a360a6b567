"""The allocator: every slot it reads the gates back from the store, scores the open ones, and publishes weights or holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from hotbandd.core import allocation, schedule
from hotbandd.core.allocation import Decision, Reason, Situation
from hotbandd.core.candles import MINUTE_MS
from hotbandd.core.documents import AllocatorStatus, GatesBlob, Weights
from hotbandd.errors import CorruptPayloadError
from hotbandd.ports import Lease, Outcome
from hotbandd.services.context import Context
from hotbandd.services.loop import Due
from hotbandd.together import together

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True)
class AllocatorRules:
    """What the allocator needs of the settings; times in seconds unless the name says otherwise."""

    pairs: tuple[str, ...]
    interval_sec: int
    lag_sec: float
    score_window_min: int
    allocation: allocation.AllocationRules


class Allocator:
    """Turns gates and metrics into weights; all that it knows comes from the store, so that it may run elsewhere.

    ``first`` is awaited with the slot before anything is read: where an evaluator shares the process and the slot, it goes first.
    """

    name = "allocator"
    rank = 2
    deadline_sec = 60.0

    def __init__(self, context: Context, rules: AllocatorRules, first: Callable[[int], Awaitable[None]]) -> None:
        self.rules = rules
        self._first = first
        self._store = context.store
        self._clock = context.clock
        self._leadership = context.leadership
        self._latest = context.latest
        self._telemetry = context.telemetry
        self._highest_epoch = 0

    def first_after(self, now_ms: int) -> int:
        """Return the moment after which the first step is due: the latest past slot's."""
        return schedule.before_latest(now_ms, self.rules.interval_sec, self.rules.lag_sec)

    def next_due(self, now_ms: int) -> Due:
        """Return the next slot."""
        slot = schedule.next_slot(now_ms, self.rules.interval_sec, self.rules.lag_sec)
        return Due(slot, schedule.due_at(slot, self.rules.lag_sec))

    async def step(self, due: Due) -> None:
        """Decide one slot, and publish it; a slot that was decided before a restart stands."""
        await self._first(due.moment)
        while not await self._decided(await self._leadership.held(), due.moment):
            log.info("allocator.kill_switch_engaged", slot=due.moment)

    async def _decided(self, lease: Lease, slot: int) -> bool:
        """Decide one slot, and publish it; return False where the kill switch was engaged in between, so that it is to be decided again."""
        rules = self.rules
        status = await self._readable(self._store.allocator_status)
        if status is not None and status.ts == slot:
            return True
        previous = await self._readable(self._store.weights)
        blob, fault = await self._gates(slot)
        engaged = await self._store.kill_switch() is not False
        situation = Situation(
            slot=slot,
            pairs=rules.pairs,
            blob=blob,
            fault=fault,
            candidates=[] if blob is None or fault is not None else await self._candidates(slot, blob),
            previous=previous,
            status=status,
            kill_switch=engaged,
        )
        decision = allocation.allocate(situation, rules.allocation)
        return await self._published(lease, situation, decision)

    async def _readable(self, read: Callable[[], Awaitable[T | None]]) -> T | None:
        """Read a document of ours; one that is corrupt counts as missing, which adds no weight."""
        try:
            return await read()
        except CorruptPayloadError as error:
            self._telemetry.loop_failed(self.name, type(error).__name__)
            log.warning("allocator.corrupt", error=str(error))
            return None

    async def _gates(self, slot: int) -> tuple[GatesBlob | None, Reason | None]:
        """Read the blob, and say why it cannot be used."""
        try:
            blob = await self._store.gates_blob()
        except CorruptPayloadError as error:
            log.warning("allocator.gates_malformed", error=str(error))
            return None, Reason.GATES_MALFORMED
        fault = allocation.blob_fault(blob, max(slot, self._clock.now()), self.rules.allocation, self._highest_epoch)
        if blob is not None:
            self._highest_epoch = max(self._highest_epoch, blob.epoch)
        return blob, fault

    async def _candidates(self, slot: int, blob: GatesBlob) -> list[allocation.Candidate]:
        """Average the metrics of each instrument whose gate is open up to a slot, as they are published."""
        window = self.rules.score_window_min
        found: dict[str, allocation.Candidate | None] = {}

        async def one(pair: str) -> None:
            points = await self._store.manifold_history(pair, slot - window * MINUTE_MS, slot)
            found[pair] = allocation.candidate(pair, points, points[-1].ts if points else None, slot, window)

        eligible = [pair for pair in self.rules.pairs if blob.gates.get(pair)]
        await together(eligible, one)
        return [candidate for pair in eligible if (candidate := found[pair]) is not None]

    async def _published(self, lease: Lease, situation: Situation, decision: Decision) -> bool:
        slot, rules = situation.slot, self.rules
        weights = None
        if decision.weights is not None:
            weights = Weights(
                ts=slot,
                weights=decision.weights,
                target=rules.allocation.target,
                gates_ts=decision.gates_ts,
                scores=decision.scores,
                epoch=lease.epoch,
                seq=slot,
            )
        status = AllocatorStatus(
            ts=slot,
            interval_sec=rules.interval_sec,
            top_k=rules.allocation.top_k,
            eligible=decision.eligible,
            selected=decision.selected,
            held=decision.held,
            held_since=decision.held_since,
            reason=decision.reason,
            held_closed=decision.held_closed,
            kill_switch=situation.kill_switch,
            epoch=lease.epoch,
            seq=slot,
        )
        outcome = await self._store.publish_allocation(lease, weights, status)
        if outcome is Outcome.CHANGED:
            return False
        self._leadership.accept(outcome, "the weights", lease)
        self._latest.allocation = status
        in_force = decision.weights if decision.weights is not None else _of(situation.previous)
        self._telemetry.allocated(in_force, status)
        self._telemetry.kill_switch(engaged=situation.kill_switch)
        log.info("allocator.published", slot=slot, reason=status.reason, held=status.held, weights=in_force)
        return True


def _of(weights: Weights | None) -> dict[str, float]:
    return dict(weights.weights) if weights is not None else {}
