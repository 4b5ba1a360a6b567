"""Weights: from the gates that the store holds and from nothing else; whatever is wrong with them, none is added."""

from __future__ import annotations

import anyio
import pytest
from msgspec.structs import replace

from hotbandd.core.candles import MINUTE_MS
from hotbandd.core.documents import AllocatorStatus, GatesBlob, ManifoldPoint, Weights, encode
from hotbandd.errors import FencedError, StoreUnreachableError
from hotbandd.services.allocator import Allocator
from hotbandd.services.loop import Due
from tests.services.scenes import (
    ALLOC_MS,
    FOR_EVER,
    LAG_MS,
    NOW,
    PAIRS,
    HandClock,
    ScriptedSource,
    ShakyStore,
    desk_of,
    recorded,
    settings_of,
    store_of,
)

EUR, GBP, AUD = PAIRS
WEIGHTS, STATUS, BLOB, SWITCH = (
    "risk:allocation_weights",
    "opt:allocator:status",
    "opt:rolling:gates_blob",
    "ops:kill_switch",
)
EVEN = {EUR: 0.1, GBP: 0.1}


class Stage:
    """An allocator over a store into which gates and metrics are put by hand."""

    def __init__(self, **given: object) -> None:
        self.settings = settings_of(alloc_top_k=2, **given)
        self.clock = HandClock()
        self.store = ShakyStore(store_of(self.settings, self.clock))
        self.waited: list[int] = []

    async def start(self) -> Stage:
        self.desk = await desk_of(self.settings, self.clock, self.store, ScriptedSource({}))
        self.allocator = Allocator(self.desk.context, self.desk.allocator.rules, first=self.first)
        self.lease = self.desk.context.leadership.lease
        if await self.store.kill_switch() is None:
            await self.store.set_kill_switch(engaged=False)
        return self

    async def first(self, slot: int) -> None:
        self.waited.append(slot)

    async def gates(self, at: int, *opened: str, **other: object) -> GatesBlob:
        """Publish the gates of a slot."""
        blob = GatesBlob(
            ts=at,
            evaluated_ts=at,
            gates={pair: 1 if pair in opened else 0 for pair in PAIRS},
            cooldowns=dict.fromkeys(PAIRS, 0),
            bufs=dict.fromkeys(PAIRS, 0.1),
            reasons={pair: [] if pair in opened else ["cooldown"] for pair in PAIRS},
            guards=dict.fromkeys(PAIRS),
            epoch=self.lease.epoch,
            seq=at,
        )
        blob = replace(blob, **other)
        await self.raw(BLOB, encode(blob))
        return blob

    async def metrics(self, until: int, **coherence: float) -> None:
        """Write an hour of metrics up to a moment, of the same coherence in every minute."""
        for pair in PAIRS:
            form = {"signature": "s", "S": 0.5, "H": 0.5, "R": 0.5, "lambda_": 0.0, "C": coherence.get(pair, 0.5)}
            stamps = range(until - 59 * MINUTE_MS, until + 1, MINUTE_MS)
            points = [ManifoldPoint(ts=ts, **form) for ts in stamps]
            await self.store.put_manifold_history(self.lease, pair, points)

    async def raw(self, key: str, value: bytes) -> None:
        await self.store.inner._backend.set(key, value)

    async def slot(self, moment: int) -> AllocatorStatus:
        """Run a slot, and return its status."""
        self.clock.moment = max(self.clock.moment, moment + LAG_MS)
        await self.allocator.step(Due(moment, moment + LAG_MS))
        status = await self.store.allocator_status()
        assert status is not None
        return status

    async def weights(self) -> Weights:
        weights = await self.store.weights()
        assert weights is not None
        return weights


async def allocated() -> Stage:
    """Return a stage with two even weights, published at NOW."""
    stage = await Stage().start()
    await stage.gates(NOW, EUR, GBP)
    await stage.metrics(NOW)
    await stage.slot(NOW)
    assert (await stage.weights()).weights == EVEN
    return stage


async def test_open_gates_with_the_best_scores_get_weights():
    stage = await Stage().start()
    await stage.gates(NOW, *PAIRS)
    await stage.metrics(NOW, EUR_USD=0.4, GBP_USD=0.8, AUD_USD=0.9)
    status = await stage.slot(NOW)
    weights = await stage.weights()
    assert set(weights.weights) == {GBP, AUD}
    assert (weights.ts, weights.gates_ts, weights.epoch, weights.target) == (NOW, NOW, stage.lease.epoch, 0.3)
    assert weights.scores[AUD] > weights.scores[GBP] > weights.scores[EUR]
    assert (status.reason, status.held, status.eligible, status.selected) == ("allocated", False, 3, [AUD, GBP])


async def test_an_instrument_without_a_fresh_manifold_is_no_candidate():
    stage = await Stage().start()
    await stage.gates(NOW, EUR, GBP)
    await stage.metrics(NOW - 6 * MINUTE_MS)
    status = await stage.slot(NOW)
    assert (status.held, status.reason, status.eligible) == (True, "too_few_candidates", 2)
    assert (await stage.weights()).weights == {}


async def test_what_comes_after_the_slot_is_not_looked_at():
    stage = await Stage().start()
    await stage.gates(NOW, EUR, GBP)
    await stage.metrics(NOW)
    await stage.metrics(NOW + 60 * MINUTE_MS, EUR_USD=0.9)
    await stage.slot(NOW)
    assert (await stage.weights()).scores[EUR] == (await stage.weights()).scores[GBP]


async def test_the_evaluator_of_the_same_slot_goes_first():
    stage = await allocated()
    assert stage.waited == [NOW]


FAULTS = {
    "gates_missing": None,
    "gates_malformed": b'{"schema":1,"ts":"now"}',
    "gates_stale": {"ts": NOW - 1_900_000, "evaluated_ts": NOW - 1_900_000},
    "gates_future": {"ts": NOW + 2 * ALLOC_MS},
    "gates_lower_epoch": {"epoch": 1},
}


@pytest.mark.parametrize("reason", FAULTS)
async def test_gates_that_cannot_be_used_hold_the_weights_and_the_status_says_why(reason):
    stage = await allocated()
    before, fault, slot = await stage.weights(), FAULTS[reason], NOW + ALLOC_MS
    await stage.metrics(slot, AUD_USD=0.9)
    if isinstance(fault, dict):
        await stage.gates(slot, *PAIRS, **fault)
    else:
        await stage.raw(BLOB, fault or b"")
        if fault is None:
            del stage.store.inner._backend._values[BLOB]
    status = await stage.slot(slot)
    assert (status.held, status.held_since, status.reason) == (True, slot, reason)
    assert (status.eligible, status.selected, status.held_closed) == (0, [], [])
    assert await stage.weights() == before
    await stage.gates(slot + ALLOC_MS, EUR, GBP)
    await stage.metrics(slot + ALLOC_MS)
    assert not (await stage.slot(slot + ALLOC_MS)).held


@pytest.mark.parametrize("reason", FAULTS)
async def test_gates_that_were_never_usable_give_no_weight(reason):
    stage = await Stage().start()
    stage.allocator._highest_epoch = 2
    await stage.metrics(NOW)
    fault = FAULTS[reason]
    if isinstance(fault, dict):
        await stage.gates(NOW, *PAIRS, **fault)
    elif fault is not None:
        await stage.raw(BLOB, fault)
    assert (await stage.slot(NOW)).reason == reason
    assert (await stage.weights()).weights == {}


async def test_gates_that_were_only_republished_are_as_old_as_their_slot():
    stage = await allocated()
    await stage.gates(NOW + ALLOC_MS, *PAIRS, evaluated_ts=NOW + ALLOC_MS - 1_900_000)
    await stage.metrics(NOW + ALLOC_MS)
    assert (await stage.slot(NOW + ALLOC_MS)).reason == "gates_stale"


async def test_a_late_start_judges_the_age_of_gates_by_the_present():
    stage = await Stage().start()
    await stage.gates(NOW - 1_500_000, EUR, GBP)
    await stage.metrics(NOW)
    stage.clock.moment = NOW + 500_000
    assert (await stage.slot(NOW)).reason == "gates_stale"


@pytest.mark.parametrize(("engaged", "weights"), [(False, EVEN), (True, {})])
async def test_corrupt_weights_count_as_none_and_are_reported(engaged, weights):
    stage = await allocated()
    await stage.raw(WEIGHTS, b'{"schema":1,"weights":{"EUR_USD":7}}')
    await stage.store.set_kill_switch(engaged=engaged)
    await stage.gates(NOW + ALLOC_MS, EUR, GBP)
    await stage.metrics(NOW + ALLOC_MS)
    await stage.slot(NOW + ALLOC_MS)
    assert (await stage.weights()).weights == weights
    assert ("allocator", "CorruptPayloadError") in recorded(stage.desk).calls("loop_failed")


async def test_a_corrupt_status_does_not_stop_a_hold():
    stage = await allocated()
    await stage.raw(STATUS, b"garbage")
    status = await stage.slot(NOW + 4 * ALLOC_MS)
    assert (status.held, status.held_since) == (True, NOW)
    assert (await stage.weights()).weights == EVEN


@pytest.mark.parametrize("switch", [None, b"1", b"", b"off", b"00"])
async def test_unless_the_kill_switch_is_released_weights_only_fall(switch):
    stage = await allocated()
    slot = NOW + ALLOC_MS
    del stage.store.inner._backend._values[SWITCH]
    if switch is not None:
        await stage.raw(SWITCH, switch)
    await stage.gates(slot, EUR, AUD)
    await stage.metrics(slot)
    status = await stage.slot(slot)
    assert status.kill_switch
    assert (await stage.weights()).weights == {EUR: 0.1}  # lets go of GBP, takes no AUD
    assert recorded(stage.desk).calls("kill_switch")[-1] == (True,)
    await stage.store.set_kill_switch(engaged=False)
    await stage.gates(slot + ALLOC_MS, EUR, AUD)
    await stage.metrics(slot + ALLOC_MS)
    assert not (await stage.slot(slot + ALLOC_MS)).kill_switch
    assert (await stage.weights()).weights == {EUR: 0.1, AUD: 0.1}


async def test_a_kill_switch_that_is_engaged_while_a_slot_is_decided_is_heeded():
    stage = await allocated()
    slot = NOW + ALLOC_MS
    await stage.gates(slot, EUR, AUD)
    await stage.metrics(slot)
    inner, published = stage.store.inner, stage.store.inner.publish_allocation

    async def late(*args: object) -> object:
        await inner.set_kill_switch(engaged=True)
        return await published(*args)

    inner.publish_allocation = late
    assert (await stage.slot(slot)).kill_switch
    assert (await stage.weights()).weights == {EUR: 0.1}  # as if it had been engaged from the start


async def test_a_restart_keeps_the_beginning_of_a_hold_and_so_its_bound():
    stage = await allocated()
    for k in range(1, 8):
        slot = NOW + k * ALLOC_MS
        await stage.gates(slot, EUR)
        await stage.metrics(slot)
        status = await stage.slot(slot)
        assert status.held_since == NOW + ALLOC_MS
        assert (await stage.weights()).weights == (EVEN if k < 7 else {EUR: 0.1})  # 3 600 s after the first held slot
        assert status.held_closed == ([GBP] if k < 7 else [])
        await stage.start()


async def test_a_slot_that_is_repeated_changes_nothing():
    stage = await allocated()
    before = await stage.weights()
    await stage.metrics(NOW, EUR_USD=0.9)
    await stage.gates(NOW, GBP, AUD)
    await stage.slot(NOW)
    assert await stage.weights() == before


async def test_after_a_restart_a_slot_that_was_decided_stands_and_the_next_one_is_decided():
    stage = await allocated()
    before = await stage.weights()
    await stage.start()
    await stage.gates(NOW, GBP, AUD)
    allocator = stage.allocator
    late = NOW + 3 * MINUTE_MS
    assert allocator.next_due(allocator.first_after(late)) == Due(NOW, NOW + LAG_MS)
    await stage.slot(NOW)
    assert await stage.weights() == before
    status = await stage.slot(NOW + ALLOC_MS)
    assert status.ts == NOW + ALLOC_MS
    assert status.epoch > before.epoch


async def test_slots_come_a_lag_after_their_multiples_of_the_interval():
    allocator = (await Stage().start()).allocator
    assert allocator.next_due(NOW + LAG_MS) == Due(NOW + ALLOC_MS, NOW + ALLOC_MS + LAG_MS)
    assert allocator.next_due(NOW + LAG_MS - 1) == Due(NOW, NOW + LAG_MS)


async def test_a_deposed_allocator_publishes_nothing():
    stage = await allocated()
    before = await stage.weights(), await stage.store.allocator_status()
    stage.store.inner._backend._values.pop("hotband:leader")
    await stage.store.acquire_lease("another", FOR_EVER)
    await stage.gates(NOW + ALLOC_MS, AUD)
    with pytest.raises(FencedError):
        await stage.slot(NOW + ALLOC_MS)
    assert (await stage.weights(), await stage.store.allocator_status()) == before


@pytest.mark.parametrize("call", ["weights", "gates_blob", "kill_switch", "manifold_history", "publish_allocation"])
async def test_a_store_that_is_away_is_told_as_such_and_the_slot_goes_through_once_it_is_back(call):
    stage = await Stage().start()
    await stage.gates(NOW, EUR, GBP)
    await stage.metrics(NOW)
    stage.store.broken.add(call)
    with pytest.raises(StoreUnreachableError):
        await stage.slot(NOW)
    assert await stage.store.inner.weights() is None
    stage.store.broken.clear()
    await stage.slot(NOW)
    assert (await stage.weights()).weights == EVEN


async def test_on_a_fresh_start_the_first_weights_wait_for_the_first_gates():
    stage = await Stage().start()
    stage.desk.allocator._first = stage.desk.evaluator.finished
    slot = NOW + ALLOC_MS  # no slot of the evaluator
    stage.clock.moment = slot + LAG_MS
    async with anyio.create_task_group() as group:
        group.start_soon(stage.desk.allocator.step, Due(slot, slot + LAG_MS))
        await anyio.wait_all_tasks_blocked()
        assert await stage.store.allocator_status() is None
        await stage.desk.evaluator.step(Due(NOW, NOW + LAG_MS))
    status = await stage.store.allocator_status()
    assert status is not None
    assert status.reason == "too_few_candidates"
