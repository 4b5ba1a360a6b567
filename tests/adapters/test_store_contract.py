"""What every store must do: in memory, in a real Valkey, and in a real cluster of them."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.cluster import ClusterBackend
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, concatenate, empty, merge
from hotbandd.core.documents import ClockAnchor, encode
from hotbandd.errors import CorruptPayloadError
from hotbandd.ports import Lease, ManifoldUpdate, Outcome, Store
from tests.adapters import store_samples as samples
from tests.adapters.conftest import Bench
from tests.adapters.store_samples import PAIR, PARAM_KEY, START, assert_same
from tests.valkey import eventually

FOREVER = 2**53
CANDLES = keys.candles(PAIR, "M1")


async def stored(store: Store) -> Candles:
    page = await store.candles(PAIR, "M1", 0, FOREVER)
    assert page.refused == {}
    return page.candles


@pytest.fixture
def store(bench: Bench) -> Store:
    return bench.store


@pytest.fixture
async def lease(store: Store) -> Lease:
    lease = await store.acquire_lease("first", 60_000)
    assert lease is not None
    return lease


async def test_a_store_answers(store: Store) -> None:
    await store.ping()


async def test_candles_come_back_as_they_were(store: Store) -> None:
    given_candles = concatenate((samples.candles(0, 1), samples.candles(5, quoted=False)))
    await store.put_candles(PAIR, "M1", given_candles)
    assert_same(await stored(store), given_candles)


async def test_candles_are_read_from_the_start_up_to_before_the_end(store: Store) -> None:
    await store.put_candles(PAIR, "M1", samples.candles(0, 1, 2, 3))
    page = await store.candles(PAIR, "M1", START + MINUTE_MS, START + 3 * MINUTE_MS)
    assert_same(page.candles, samples.candles(1, 2))


async def test_no_candles_are_no_error(store: Store) -> None:
    await store.put_candles(PAIR, "M1", empty())
    assert (await stored(store)).size == 0


async def test_more_candles_than_one_chunk_holds_are_all_kept(store: Store) -> None:
    many = samples.candles(*range(2500))
    await store.put_candles(PAIR, "M1", many)
    assert_same(await stored(store), many)


async def test_a_candle_sent_again_replaces_the_one_of_its_minute(bench: Bench) -> None:
    await bench.store.put_candles(PAIR, "M1", samples.candles(0, 1, 2))
    await bench.store.put_candles(PAIR, "M1", samples.candles(1, price=1.2))
    assert_same(await stored(bench.store), merge(samples.candles(0, 1, 2), samples.candles(1, price=1.2)))
    assert len(await bench.backend.range(CANDLES, 0, FOREVER, 10)) == 3


async def test_instruments_and_granularities_do_not_mix(store: Store) -> None:
    await store.put_candles(PAIR, "M1", samples.candles(0))
    await store.put_candles(PAIR, "M5", samples.candles(5))
    await store.put_candles("USD_JPY", "M1", samples.candles(1))
    assert_same(await stored(store), samples.candles(0))


async def test_candles_are_trimmed_to_their_days_before_the_newest(store: Store) -> None:
    days = 95 * DAY_MS // MINUTE_MS
    await store.put_candles(PAIR, "M1", samples.candles(0, 1, 2))
    await store.put_candles(PAIR, "M1", samples.candles(days + 1))
    assert_same(await stored(store), samples.candles(1, 2, days + 1))
    await store.put_candles(PAIR, "M1", samples.candles(0))
    assert_same(await stored(store), samples.candles(1, 2, days + 1))


async def test_a_foreign_member_with_a_wild_score_does_not_trim_the_candles(bench: Bench) -> None:
    await bench.backend.put(CANDLES, [(b"noise", 2**52)])
    await bench.store.put_candles(PAIR, "M1", samples.candles(0, 1))
    page = await bench.store.candles(PAIR, "M1", 0, FOREVER)
    assert_same(page.candles, samples.candles(0, 1))


GOOD = {"t": START, "o": 1.1, "h": 1.2, "l": 1.0, "c": 1.1, "v": 12.0}


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (b"garbage", "corrupt"),
        (b"", "corrupt"),
        (b"\xff\xfe", "corrupt"),
        (b"null", "corrupt"),
        (b"[" * 100_000, "corrupt"),
        (json.dumps(GOOD | {"o": "1.1"}).encode(), "corrupt"),
        (json.dumps(GOOD | {"x": 1}).encode(), "corrupt"),
        (json.dumps(GOOD | {"t": START + MINUTE_MS}).encode(), "corrupt"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "c"}).encode(), "corrupt"),
        (json.dumps(GOOD | {"o": float("nan")}).encode(), "corrupt"),
        (json.dumps(GOOD).encode()[:-5], "corrupt"),
        (json.dumps(GOOD).encode() + b"," + json.dumps(GOOD).encode(), "corrupt"),
        (json.dumps(GOOD | {"c": 9.0}).encode(), "high_below_low"),
        (json.dumps(GOOD | {"l": 0.0}).encode(), "not_positive"),
        (json.dumps(GOOD | {"bid": 2.0, "ask": 1.0}).encode(), "crossed_quote"),
    ],
)
async def test_a_candle_that_cannot_be_true_is_refused_and_counted(bench: Bench, member: bytes, reason: str) -> None:
    await bench.store.put_candles(PAIR, "M1", samples.candles(1, 2))
    await bench.backend.put(CANDLES, [(member, START)])
    page = await bench.store.candles(PAIR, "M1", 0, FOREVER)
    assert_same(page.candles, samples.candles(1, 2))
    assert page.refused == {reason: 1}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.sets(st.integers(0, 200_000), min_size=1, max_size=8), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
)
async def test_candles_stored_in_any_order_and_twice_are_the_same(
    bench: Bench, batches: list[set[int]], order: random.Random
) -> None:
    shuffled = [*batches, *batches]
    order.shuffle(shuffled)
    await bench.backend.trim(CANDLES, FOREVER)
    for minutes in shuffled:
        await bench.store.put_candles(PAIR, "M1", samples.candles(*sorted(minutes)))
    every = sorted(set().union(*batches))
    kept = [minute for minute in every if minute >= every[-1] - 95 * DAY_MS // MINUTE_MS]
    assert_same(await stored(bench.store), samples.candles(*kept))


async def test_a_manifold_is_published_with_its_history_and_signals(bench: Bench, lease: Lease) -> None:
    assert await bench.store.publish_manifold(lease, samples.update()) is Outcome.PUBLISHED
    assert await bench.store.manifold(PAIR) == samples.manifold()
    assert await bench.store.manifold_history(PAIR, START - 1, START) == [samples.point(START)]
    listed = await bench.backend.range(keys.signal_index(PAIR), START, START, 10)
    assert listed == [(f"sep:signal:{PAIR}:{START}000000".encode(), START)]


async def test_a_long_catch_up_is_published_whole(bench: Bench, lease: Lease) -> None:
    stamps = [START + i * MINUTE_MS for i in range(-999, 1)]
    update = ManifoldUpdate(
        samples.manifold(), [samples.point(ts) for ts in stamps[-450:]], [samples.signal(ts) for ts in stamps]
    )
    assert await bench.store.publish_manifold(lease, update) is Outcome.PUBLISHED
    assert [p.ts for p in await bench.store.manifold_history(PAIR, 0, START)] == stamps[-450:]
    assert len(await bench.backend.range(keys.signal_index(PAIR), 0, START, 2000)) == 1000


async def test_a_manifold_stands_against_an_older_one(store: Store, lease: Lease) -> None:
    await store.publish_manifold(lease, samples.update(START, seq=5))
    assert await store.publish_manifold(lease, samples.update(START - MINUTE_MS, seq=6)) is Outcome.DUPLICATE
    assert await store.manifold(PAIR) == samples.manifold(START, seq=5)
    assert await store.publish_manifold(lease, samples.update(START + MINUTE_MS, seq=7)) is Outcome.PUBLISHED


async def test_a_corrupt_manifold_is_an_error_until_the_next_one_is_published(bench: Bench, lease: Lease) -> None:
    await bench.backend.set(keys.manifold(PAIR), b'{"schema":1,"ts":')
    with pytest.raises(CorruptPayloadError, match=keys.manifold(PAIR)):
        await bench.store.manifold(PAIR)
    assert await bench.store.publish_manifold(lease, samples.update()) is Outcome.PUBLISHED
    assert await bench.store.manifold(PAIR) == samples.manifold()


async def test_the_manifold_of_another_instrument_is_corrupt(bench: Bench) -> None:
    await bench.backend.set(keys.manifold(PAIR), encode(samples.manifold(instrument="USD_JPY")))
    with pytest.raises(CorruptPayloadError, match="USD_JPY"):
        await bench.store.manifold(PAIR)


async def test_history_is_read_from_after_the_start_to_the_end(store: Store, lease: Lease) -> None:
    points = [samples.point(START + i * MINUTE_MS) for i in range(1440)]
    assert await store.put_manifold_history(lease, PAIR, points) is Outcome.PUBLISHED
    assert await store.put_manifold_history(lease, PAIR, points) is Outcome.PUBLISHED
    assert await store.manifold_history(PAIR, START, points[-1].ts) == points[1:]


async def test_history_is_trimmed_to_a_day_before_the_newest_manifold(store: Store, lease: Lease) -> None:
    await store.put_manifold_history(lease, PAIR, [samples.point(START - DAY_MS - 1), samples.point(START - DAY_MS)])
    await store.publish_manifold(lease, samples.update())
    assert [p.ts for p in await store.manifold_history(PAIR, 0, START)] == [START - DAY_MS, START]


async def test_corrupt_history_is_left_out(bench: Bench, lease: Lease) -> None:
    await bench.store.put_manifold_history(lease, PAIR, [samples.point(START)])
    key = keys.manifold_history(PAIR)
    await bench.backend.put(
        key, [(b"garbage", START + 1), (encode(samples.point(START)).replace(b"0.5", b"5"), START + 2)]
    )
    assert await bench.store.manifold_history(PAIR, 0, FOREVER) == [samples.point(START)]


async def test_an_evaluation_is_published_whole(bench: Bench, lease: Lease) -> None:
    slot = samples.evaluation()
    assert await bench.store.publish_evaluation(lease, slot) is Outcome.PUBLISHED
    assert await bench.store.gates_blob() == slot.blob
    assert await bench.store.gate_state(PAIR) == slot.states[PAIR]
    assert await bench.store.summary(PAIR) == slot.summaries[PAIR]
    assert await bench.store.evaluation_points(PAIR, PARAM_KEY, START, START + 1) == list(slot.points.values())
    assert await bench.store.evaluation_points(PAIR, PARAM_KEY, 0, START) == []
    assert await bench.backend.get(keys.eligible(PAIR)) == b"1"
    assert await bench.backend.get(keys.cooldown(PAIR)) is None


async def test_a_cooldown_shows_while_it_lasts(bench: Bench, lease: Lease) -> None:
    until = START + 7_200_000
    await bench.store.publish_evaluation(lease, samples.evaluation(seq=1, cooldown_until=until))
    shown = await bench.backend.get(keys.cooldown(PAIR))
    assert shown is not None
    assert json.loads(shown) == {"schema": 1, "cooldown_until": until}
    await bench.store.publish_evaluation(lease, samples.evaluation(until, seq=2, cooldown_until=until))
    assert await bench.backend.get(keys.cooldown(PAIR)) is None


async def test_evaluations_are_kept_for_thirty_days(store: Store, lease: Lease) -> None:
    stamps = [START, START + 1, START + 30 * DAY_MS + 1]
    for seq, ts in enumerate(stamps):
        await store.publish_evaluation(lease, samples.evaluation(ts, seq=seq))
    assert [p.ts for p in await store.evaluation_points(PAIR, PARAM_KEY, 0, FOREVER)] == stamps[1:]


async def test_an_allocation_is_published_with_its_status(store: Store, lease: Lease) -> None:
    assert await store.publish_allocation(lease, samples.weights(), samples.status()) is Outcome.PUBLISHED
    assert await store.weights() == samples.weights()
    assert await store.allocator_status() == samples.status()


@pytest.mark.parametrize("switch", [None, True])
async def test_weights_decided_while_the_kill_switch_was_released_are_published_only_while_it_is(
    store: Store, lease: Lease, switch: bool | None
) -> None:
    if switch is not None:
        await store.set_kill_switch(engaged=switch)
    released = msgspec.structs.replace(samples.status(), kill_switch=False)
    assert await store.publish_allocation(lease, samples.weights(), released) is Outcome.CHANGED
    assert (await store.weights(), await store.allocator_status()) == (None, None)
    await store.set_kill_switch(engaged=False)
    assert await store.publish_allocation(lease, samples.weights(), released) is Outcome.PUBLISHED
    await store.set_kill_switch(engaged=True)
    assert await store.publish_allocation(lease, samples.weights(), released) is Outcome.DUPLICATE


async def test_holding_publishes_a_status_and_leaves_the_weights(store: Store, lease: Lease) -> None:
    await store.publish_allocation(lease, samples.weights(), samples.status())
    later = samples.status(START + 1, seq=2)
    assert await store.publish_allocation(lease, None, later) is Outcome.PUBLISHED
    assert await store.weights() == samples.weights()
    assert await store.allocator_status() == later


async def test_nothing_is_there_at_first(store: Store) -> None:
    assert await store.manifold(PAIR) is None
    assert await store.gates_blob() is None
    assert await store.gate_state(PAIR) is None
    assert await store.summary(PAIR) is None
    assert await store.weights() is None
    assert await store.allocator_status() is None
    assert await store.clock() is None
    assert await store.leader() is None
    assert await store.manifold_history(PAIR, 0, FOREVER) == []
    assert await store.evaluation_points(PAIR, PARAM_KEY, 0, FOREVER) == []


READERS = {
    keys.GATES_BLOB: lambda store: store.gates_blob(),
    keys.WEIGHTS: lambda store: store.weights(),
    keys.ALLOCATOR_STATUS: lambda store: store.allocator_status(),
    keys.CLOCK: lambda store: store.clock(),
    keys.LEADER: lambda store: store.leader(),
    keys.gate_state(PAIR): lambda store: store.gate_state(PAIR),
    keys.summary(PAIR): lambda store: store.summary(PAIR),
    keys.manifold(PAIR): lambda store: store.manifold(PAIR),
}


@pytest.mark.parametrize("key", READERS)
@pytest.mark.parametrize(
    "value", [b"", b"garbage", b"null", b"[]", b'{"schema":2}', b"\xff", b'{"a":' + b"[" * 100_000]
)
async def test_garbage_in_a_key_is_an_error_that_names_it(bench: Bench, key: str, value: bytes) -> None:
    await bench.backend.set(key, value, life_ms=60_000)
    with pytest.raises(CorruptPayloadError) as caught:
        await READERS[key](bench.store)
    assert caught.value.key == key


@pytest.mark.parametrize("document", ["gates", "weights"])
async def test_a_lower_publication_is_fenced_and_a_repeated_one_a_duplicate(
    store: Store, lease: Lease, document: str
) -> None:
    async def publish(ts: int, epoch: int, seq: int) -> Outcome:
        if document == "gates":
            return await store.publish_evaluation(lease, samples.evaluation(ts, epoch, seq))
        return await store.publish_allocation(lease, samples.weights(ts, epoch, seq), samples.status(ts, epoch, seq))

    async def published() -> int:
        found = await (store.gates_blob() if document == "gates" else store.weights())
        assert found is not None
        return found.ts

    assert await publish(START, 5, 10) is Outcome.PUBLISHED
    assert await publish(START + 1, 5, 10) is Outcome.DUPLICATE
    assert await publish(START + 2, 5, 9) is Outcome.FENCED
    assert await publish(START + 3, 4, 99) is Outcome.FENCED
    assert await published() == START
    assert await publish(START + 4, 6, 1) is Outcome.PUBLISHED
    assert await published() == START + 4


async def test_a_corrupt_fence_is_an_error_and_nothing_is_published(bench: Bench, lease: Lease) -> None:
    await bench.backend.set(bench.fence("gates"), b"garbage")
    with pytest.raises(CorruptPayloadError, match=bench.fence("gates")):
        await bench.store.publish_evaluation(lease, samples.evaluation())
    assert await bench.store.gates_blob() is None


async def test_the_manifolds_of_two_instruments_are_fenced_apart(store: Store, lease: Lease) -> None:
    await store.publish_manifold(lease, samples.update(seq=9))
    other = ManifoldUpdate(samples.manifold(seq=1, instrument="USD_JPY"), [], [])
    assert await store.publish_manifold(lease, other) is Outcome.PUBLISHED


async def test_who_does_not_hold_the_lease_publishes_nothing(store: Store, lease: Lease) -> None:
    for stranger in (Lease("second", lease.epoch), Lease("first", lease.epoch - 1)):
        assert await store.publish_manifold(stranger, samples.update()) is Outcome.FENCED
        assert await store.put_manifold_history(stranger, PAIR, [samples.point(START)]) is Outcome.FENCED
        assert await store.publish_evaluation(stranger, samples.evaluation()) is Outcome.FENCED
        assert await store.publish_allocation(stranger, samples.weights(), samples.status()) is Outcome.FENCED
    await assert_nothing_published(store)


async def assert_nothing_published(store: Store) -> None:
    assert await store.manifold(PAIR) is None
    assert await store.manifold_history(PAIR, 0, FOREVER) == []
    assert await store.gates_blob() is None
    assert await store.weights() is None


async def test_one_holder_leads_at_a_time(store: Store, lease: Lease) -> None:
    assert await store.acquire_lease("second", 60_000) is None
    assert await store.leader() == lease


async def test_a_lease_that_is_taken_again_by_its_holder_has_a_new_epoch(store: Store, lease: Lease) -> None:
    again = await store.acquire_lease("first", 60_000)
    assert again is not None
    assert again.epoch > lease.epoch
    assert await store.renew_lease(lease, 60_000) is False


async def test_a_released_lease_is_free_and_the_next_epoch_is_higher(store: Store, lease: Lease) -> None:
    await store.release_lease(lease)
    assert await store.leader() is None
    second = await store.acquire_lease("host:second", 60_000)
    assert second is not None
    assert second.holder == "host:second"
    assert second.epoch > lease.epoch
    await store.release_lease(lease)
    assert await store.leader() == second


async def test_a_corrupt_lease_is_an_error_that_names_it(bench: Bench) -> None:
    await bench.backend.set(keys.LEADER, b"garbage")
    with pytest.raises(CorruptPayloadError, match=keys.LEADER):
        await bench.store.acquire_lease("first", 60_000)


async def taken_over(store: Store, holder: str) -> Lease:
    leases: list[Lease] = []

    async def taken() -> bool:
        lease = await store.acquire_lease(holder, 60_000)
        leases.extend([lease] if lease else [])
        return lease is not None

    await eventually(taken)
    return leases[0]


async def test_a_lease_ends_by_itself_and_its_former_holder_is_fenced(store: Store) -> None:
    deposed = await store.acquire_lease("first", 50)
    assert deposed is not None
    lease = await taken_over(store, "second")
    assert lease.epoch > deposed.epoch
    assert await store.renew_lease(deposed, 60_000) is False
    assert await store.publish_evaluation(deposed, samples.evaluation()) is Outcome.FENCED
    assert await store.publish_evaluation(lease, samples.evaluation()) is Outcome.PUBLISHED


async def test_a_renewed_lease_outlives_its_first_term(store: Store) -> None:
    lease = await store.acquire_lease("first", 200)
    other = await store.acquire_lease("second", 200)
    assert lease is not None
    assert other is None
    assert await store.renew_lease(lease, 60_000) is True
    with pytest.raises(AssertionError):
        await eventually(lambda: lost(store, lease), seconds=0.4)


async def lost(store: Store, lease: Lease) -> bool:
    return await store.leader() != lease


async def test_the_epoch_never_falls_below_one_that_was_kept(bench: Bench) -> None:
    await bench.backend.set(bench.epoch, b"900000000000000")
    lease = await bench.store.acquire_lease("first", 60_000)
    assert lease == Lease("first", 900_000_000_000_001)


async def test_a_corrupt_epoch_does_not_stop_the_lease(bench: Bench) -> None:
    await bench.backend.set(bench.epoch, b"garbage")
    assert await bench.store.acquire_lease("first", 60_000) is not None


async def test_the_kill_switch_is_missing_engaged_or_released(store: Store) -> None:
    assert await store.kill_switch() is None
    await store.set_kill_switch(engaged=False)
    assert await store.kill_switch() is False
    await store.set_kill_switch(engaged=True)
    assert await store.kill_switch() is True


@pytest.mark.parametrize("value", [b"", b"00", b"false", b" 0", b"2", b"\xff"])
async def test_an_unreadable_kill_switch_counts_as_engaged(bench: Bench, value: bytes) -> None:
    await bench.backend.set(keys.KILL_SWITCH, value)
    assert await bench.store.kill_switch() is True
    assert await bench.store.init_kill_switch(engaged=False) is True


@pytest.mark.parametrize("engaged", [True, False])
async def test_the_kill_switch_is_set_at_first_and_left_alone_later(store: Store, engaged: bool) -> None:
    assert await store.init_kill_switch(engaged=engaged) is engaged
    assert await store.init_kill_switch(engaged=not engaged) is engaged


async def test_the_clock_is_announced(store: Store) -> None:
    anchor = ClockAnchor(anchor_wall=START, anchor_virtual=START - 1, speed=60.0)
    await store.set_clock(anchor)
    assert await store.clock() == anchor


async def gone(store: Store) -> bool:
    return await store.manifold(PAIR) is None and await store.gates_blob() is None


async def test_under_a_fast_clock_documents_expire_sooner_and_states_and_weights_never(bench: Bench) -> None:
    store = bench.at_speed(1800.0)
    lease = await store.acquire_lease("first", 60_000)
    assert lease is not None
    await store.publish_manifold(lease, samples.update())
    await store.publish_evaluation(lease, samples.evaluation())
    await store.publish_allocation(lease, samples.weights(), samples.status())
    assert await store.gates_blob() is not None
    await eventually(lambda: gone(store))
    assert await store.gate_state(PAIR) is not None
    assert await store.weights() is not None
    assert await store.leader() == lease


async def received(messages: AsyncIterator[tuple[str, bytes]]) -> tuple[str, bytes]:
    with anyio.fail_after(3):
        return await anext(messages)


async def test_publications_are_announced_on_their_channels(bench: Bench, lease: Lease) -> None:
    store = bench.store
    async with store.subscribe([keys.MANIFOLD_CHANNEL, keys.GATES_CHANNEL, keys.WEIGHTS_CHANNEL]) as messages:
        await store.publish_manifold(lease, samples.update())
        await store.publish_evaluation(lease, samples.evaluation())
        await store.publish_allocation(lease, None, samples.status(seq=1))
        await store.publish_allocation(lease, samples.weights(seq=2), samples.status(seq=2))
        heard = [await received(messages) for _ in range(3)]
    expected = [
        ("ws:manifold", encode(samples.manifold())),
        ("ws:gates", encode(samples.blob())),
        ("ws:weights", encode(samples.weights(seq=2))),
    ]
    # in a cluster each channel has its order, not all of them together
    ordered = not isinstance(bench.backend, ClusterBackend)
    assert heard == expected if ordered else sorted(heard) == sorted(expected)


async def test_refused_and_repeated_publications_are_not_announced(bench: Bench, lease: Lease) -> None:
    store = bench.store
    async with store.subscribe([keys.GATES_CHANNEL]) as messages:
        await store.publish_evaluation(lease, samples.evaluation(seq=5))
        await store.publish_evaluation(lease, samples.evaluation(START + 1, seq=5))
        await store.publish_evaluation(lease, samples.evaluation(START + 2, seq=4))
        await store.publish_evaluation(lease, samples.evaluation(START + 3, seq=6))
        heard = [json.loads((await received(messages))[1])["seq"] for _ in range(2)]
    assert heard == [5, 6]


async def test_who_hears_a_message_finds_everything_that_belongs_to_it(bench: Bench, lease: Lease) -> None:
    store = bench.store
    async with store.subscribe([keys.GATES_CHANNEL]) as messages:
        for seq in range(20):
            slot = samples.evaluation(START + seq, seq=seq)
            await store.publish_evaluation(lease, slot)
            assert (await received(messages))[1] == encode(slot.blob)
            assert await store.gates_blob() == slot.blob
            assert await store.gate_state(PAIR) == slot.states[PAIR]
            assert await store.summary(PAIR) == slot.summaries[PAIR]
            assert await store.evaluation_points(PAIR, PARAM_KEY, START + seq, FOREVER) == list(slot.points.values())
