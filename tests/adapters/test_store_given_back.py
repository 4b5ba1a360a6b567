"""What a server lost is recognised, and given back verbatim: in memory, in a real Valkey, in a real cluster."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import anyio
import pytest

from hotbandd.adapters.store import kept, keys
from hotbandd.adapters.store.backend import Backend
from hotbandd.adapters.store.cluster import ClusterBackend
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.memory import MemoryBackend
from hotbandd.errors import StoreUnreachableError
from hotbandd.ports import Lease, Outcome
from tests.adapters import store_samples as samples
from tests.adapters.conftest import Bench
from tests.adapters.store_samples import AGES, PAIR, PARAM_KEY, START

DOCUMENTS = (
    keys.GATES_BLOB,
    keys.eligible(PAIR),
    keys.gate_state(PAIR),
    keys.summary(PAIR),
    keys.cooldown(PAIR),
    keys.WEIGHTS,
    keys.ALLOCATOR_STATUS,
    keys.manifold(PAIR),
)
FENCES = tuple(map(keys.fence, ("gates", "weights", f"manifold:{PAIR}")))
FENCES_IN_CLUSTER = tuple(map(keys.fence_in_cluster, DOCUMENTS))
UNTIL = START + 7_200_000


async def lease_of(store: DocumentStore) -> Lease:
    lease = await store.acquire_lease("first", 60_000)
    assert lease is not None
    return lease


@pytest.fixture
async def lease(bench: Bench) -> Lease:
    return await lease_of(bench.store)


async def published(store: DocumentStore, lease: Lease, seq: int = 1) -> None:
    ts, epoch = START + seq, lease.epoch
    await store.publish_manifold(lease, samples.update(ts, epoch, seq))
    await store.publish_evaluation(lease, samples.evaluation(ts, epoch, seq, cooldown_until=UNTIL))
    await store.publish_allocation(lease, samples.weights(ts, epoch, seq), samples.status(ts, epoch, seq))


def fences(backend: Backend) -> tuple[str, ...]:
    return FENCES_IN_CLUSTER if isinstance(backend, ClusterBackend) else FENCES


async def copied(backend: Backend) -> dict[str, bytes]:
    """Return all strings, empty where there are none; the count, which goes on when something is given back, is no document."""
    return {key: await backend.get(key) or b"" for key in (*DOCUMENTS, *fences(backend))}


async def strings(backend: Backend) -> dict[str, bytes]:
    """Return all strings, of fences the place alone: a cluster notes there, too, who leads."""
    found = await copied(backend)
    return {key: b":".join(raw.split(b":")[:2]) if key in fences(backend) else raw for key, raw in found.items()}


async def set_back(backend: Backend, copy: dict[str, bytes]) -> None:
    for key, raw in copy.items():
        await (backend.set(key, raw) if raw else backend.set(key, b"", life_ms=1))
    await anyio.sleep(0.005)


async def emptied(backend: Backend) -> None:
    """Empty a backend, as a server that began anew."""
    if isinstance(backend, MemoryBackend):
        backend._values.clear()
        backend._sets.clear()
        backend._ends.clear()
    else:
        others = (keys.COUNT, keys.LEADER, keys.EPOCH, keys.EPOCH_IN_CLUSTER, keys.DOCUMENTS)
        await set_back(backend, dict.fromkeys((*DOCUMENTS, *fences(backend), *others), b""))
        for key in (keys.evaluations(PAIR, PARAM_KEY), keys.manifold_history(PAIR), keys.signal_index(PAIR)):
            await backend.trim(key, 2**52)


async def test_a_server_that_began_anew_gets_every_string_back_as_it_was(bench: Bench, lease: Lease) -> None:
    await published(bench.store, lease)
    before = await strings(bench.backend)
    assert all(before[key] for key in (*DOCUMENTS, *map(bench.fence, ("gates", "weights", f"manifold:{PAIR}"))))
    await emptied(bench.backend)
    assert await bench.store.renew_lease(lease, 60_000) is False
    again = await lease_of(bench.store)
    assert await bench.store.give_back(again, repeat=False) == [f"manifold:{PAIR}", "gates", "weights"]
    assert await strings(bench.backend) == before
    assert [point.ts for point in await bench.store.evaluation_points(PAIR, PARAM_KEY, 0, 2**52)] == [START + 1]
    assert [point.ts for point in await bench.store.manifold_history(PAIR, 0, 2**52)] == [START + 1]
    assert await bench.store.renew_lease(again, 60_000) is True
    await published(bench.store, again, seq=2)
    assert (await strings(bench.backend)) != before


async def test_older_data_under_a_lease_that_still_holds_is_a_loss(bench: Bench, lease: Lease) -> None:
    await published(bench.store, lease, seq=1)
    older, copy = await strings(bench.backend), await copied(bench.backend)
    count = await bench.backend.get(keys.COUNT)
    await published(bench.store, lease, seq=2)
    newer = await strings(bench.backend)
    await set_back(bench.backend, {**copy, keys.COUNT: count or b""})
    for publish in (
        bench.store.publish_evaluation(lease, samples.evaluation(START + 3, lease.epoch, 3)),
        bench.store.publish_allocation(lease, None, samples.status(START + 3, lease.epoch, 3)),
    ):
        assert await publish is Outcome.FENCED
    if not isinstance(
        bench.backend, ClusterBackend
    ):  # which counts no publications, so that members alone tell of no loss
        assert await bench.store.put_manifold_history(lease, PAIR, [samples.point(START)]) is Outcome.FENCED
    assert await strings(bench.backend) == older
    assert await bench.store.renew_lease(lease, 60_000) is False
    again = await lease_of(bench.store)
    assert len(await bench.store.give_back(again, repeat=False)) == 3
    assert await strings(bench.backend) == newer


async def test_a_server_that_lost_nothing_takes_nothing_unless_asked_to_repeat(bench: Bench, lease: Lease) -> None:
    await published(bench.store, lease)
    assert await bench.store.give_back(lease, repeat=False) == []
    async with bench.store.subscribe([keys.GATES_CHANNEL, keys.WEIGHTS_CHANNEL]) as messages:
        assert len(await bench.store.give_back(lease, repeat=True)) == 3
        told = {
            keys.GATES_CHANNEL: await bench.backend.get(keys.GATES_BLOB),
            keys.WEIGHTS_CHANNEL: await bench.backend.get(keys.WEIGHTS),
        }
        heard = set()
        while heard < told.keys():  # a cluster's nodes may pass the first ones on only now, and in any order
            channel, message = await anext(messages)
            assert message == told[channel]
            heard.add(channel)


async def test_nothing_goes_over_what_another_one_published_since(bench: Bench, lease: Lease) -> None:
    await published(bench.store, lease)
    other = DocumentStore(bench.backend, AGES)
    await bench.store.release_lease(lease)
    taken = await other.acquire_lease("second", 60_000)
    assert taken is not None
    assert await bench.store.give_back(lease, repeat=True) == []  # the lease is another's
    await published(other, taken, seq=9)
    await other.release_lease(taken)
    before = await strings(bench.backend)
    again = await lease_of(bench.store)
    assert await bench.store.renew_lease(again, 60_000) is True
    assert await bench.store.give_back(again, repeat=True) == []
    assert await strings(bench.backend) == before


async def test_what_would_have_expired_by_now_is_not_given_back_but_states_and_weights_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.at_speed(1800.0)  # the blob lives a second, the status two thirds of one
    lease = await lease_of(store)
    await published(store, lease)
    before = await strings(bench.backend)
    await emptied(bench.backend)
    await anyio.sleep(1.1)
    again = await lease_of(store)
    async with store.subscribe([keys.GATES_CHANNEL, keys.WEIGHTS_CHANNEL, keys.MANIFOLD_CHANNEL]) as messages:
        await store.give_back(again, repeat=False)
        await store.publish_evaluation(again, samples.evaluation(START + 5, again.epoch, 5))
        first = await anext(messages)
    assert json.loads(first[1])["ts"] == START + 5
    found = await strings(bench.backend)
    kept = {key for key in before if before[key] == found[key]}
    assert {keys.WEIGHTS, bench.fence("weights")} <= kept
    assert {keys.ALLOCATOR_STATUS, keys.manifold(PAIR)}.isdisjoint(kept)


async def test_a_blob_is_not_given_back_beyond_its_age_however_late_it_was_published(bench: Bench) -> None:
    store = bench.at_speed(300.0)  # a blob that is published in time lives six seconds
    lease = await lease_of(store)
    late = samples.evaluation(START, lease.epoch, 1)._replace(late_sec=1500.0)
    await store.publish_evaluation(lease, late)
    assert await store.gates_blob() == late.blob
    await anyio.sleep(1.1)
    assert await store.gates_blob() is None
    async with store.subscribe([keys.GATES_CHANNEL]) as messages:
        assert await store.give_back(lease, repeat=True) == ["gates"]
        assert await store.gates_blob() is None
        assert await bench.backend.get(keys.eligible(PAIR)) is None
        assert await store.gate_state(PAIR) == late.states[PAIR]
        await store.publish_evaluation(lease, samples.evaluation(START + 5, lease.epoch, 5))
        assert json.loads((await anext(messages))[1])["ts"] == START + 5


async def test_weights_that_were_held_are_given_back_beside_the_newest_status(bench: Bench, lease: Lease) -> None:
    await published(bench.store, lease)
    await bench.store.publish_allocation(lease, None, samples.status(START + 2, lease.epoch, 2))
    before = await strings(bench.backend)
    await emptied(bench.backend)
    await bench.store.give_back(await lease_of(bench.store), repeat=False)
    found = await strings(bench.backend)
    assert {key: found[key] for key in (keys.WEIGHTS, keys.ALLOCATOR_STATUS)} == {
        key: before[key] for key in (keys.WEIGHTS, keys.ALLOCATOR_STATUS)
    }


class Deaf:
    """A backend whose answers to publications are lost while it is ``deaf``."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.deaf = backend, False

    def __getattr__(self, name: str) -> object:
        return getattr(self.backend, name)

    async def publish(self, publication: object) -> Outcome:
        outcome = await self.backend.publish(publication)
        if self.deaf:
            raise StoreUnreachableError("the answer was lost")
        return outcome


async def test_after_a_publication_without_an_answer_nothing_goes_out_under_its_lease(bench: Bench) -> None:
    deaf = Deaf(bench.backend)
    store = DocumentStore(deaf, AGES)
    lease = await lease_of(store)
    await published(store, lease)
    deaf.deaf = True
    first = samples.evaluation(START + 7, lease.epoch, 7)
    with pytest.raises(StoreUnreachableError):
        await store.publish_evaluation(lease, first)
    deaf.deaf = False
    before = await strings(bench.backend)
    assert await store.publish_evaluation(lease, first) is Outcome.FENCED
    assert await store.publish_allocation(lease, None, samples.status(START + 8, lease.epoch, 8)) is Outcome.FENCED
    assert await store.renew_lease(lease, 60_000) is False
    assert await strings(bench.backend) == before
    again = await lease_of(store)
    await store.give_back(again, repeat=False)
    assert await store.renew_lease(again, 60_000) is True
    other = samples.evaluation(START + 7, again.epoch, 7, cooldown_until=UNTIL)
    assert await store.publish_evaluation(again, other) is Outcome.PUBLISHED


@pytest.mark.parametrize("took_effect", [True, False])
async def test_a_publication_without_an_answer_is_given_back_if_it_took_effect(bench: Bench, took_effect: bool) -> None:
    deaf = Deaf(bench.backend)
    store = DocumentStore(deaf, AGES)
    lease = await lease_of(store)
    await published(store, lease)
    before = await copied(bench.backend)
    deaf.deaf = True
    first = samples.evaluation(START + 7, lease.epoch, 7)
    with pytest.raises(StoreUnreachableError):
        await store.publish_evaluation(lease, first)
    deaf.deaf = False
    if not took_effect:
        await set_back(bench.backend, before)
    await store.give_back(await lease_of(store), repeat=True)
    expected = await strings(bench.backend)
    assert (await store.gates_blob() == first.blob) is took_effect
    await emptied(bench.backend)
    await store.give_back(await lease_of(store), repeat=False)
    assert await strings(bench.backend) == expected


async def test_a_blob_that_got_no_answer_is_as_old_as_it_is_once_that_is_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 0.0
    monkeypatch.setattr(kept, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead))
    deaf = Deaf(bench.backend)
    store = DocumentStore(deaf, AGES)
    lease = await lease_of(store)
    deaf.deaf = True
    with pytest.raises(StoreUnreachableError):
        await store.publish_evaluation(lease, samples.evaluation(START, lease.epoch, 1))
    deaf.deaf = False
    ahead = AGES.gates_blob_sec - 60.0
    await store.give_back(await lease_of(store), repeat=True)
    assert await store.gates_blob() is not None
    ahead += 60.0
    await emptied(bench.backend)
    await store.give_back(await lease_of(store), repeat=True)
    assert await store.gates_blob() is None
    assert await store.gate_state(PAIR) is not None


async def test_a_corrupt_fence_is_no_loss_and_does_not_stop_the_others(bench: Bench, lease: Lease) -> None:
    await published(bench.store, lease)
    await bench.backend.set(bench.fence("gates"), b"garbage")
    assert await bench.store.renew_lease(lease, 60_000) is True
    status = samples.status(START + 2, lease.epoch, 2)
    assert await bench.store.publish_allocation(lease, None, status) is Outcome.PUBLISHED
    assert await bench.store.give_back(lease, repeat=True) == [f"manifold:{PAIR}", "weights"]


async def test_a_count_that_is_none_is_no_loss_and_is_counted_on(bench: Bench, lease: Lease) -> None:
    if isinstance(bench.backend, ClusterBackend):
        pytest.skip("a cluster counts no publications")
    await published(bench.store, lease)
    await bench.backend.set(keys.COUNT, b"garbage")
    assert await bench.store.renew_lease(lease, 60_000) is True
    await published(bench.store, lease, seq=2)
    assert await bench.backend.get(keys.COUNT) == b"6"


async def test_an_epoch_is_above_all_that_is_known(bench: Bench) -> None:
    lease = await bench.store.acquire_lease("first", 60_000, above=900_000_000_000_000)
    assert lease == Lease("first", 900_000_000_000_001)


async def test_candles_are_counted(bench: Bench) -> None:
    await bench.store.put_candles(PAIR, "M1", samples.candles(0, 1, 2, 3))
    assert await bench.store.candle_count(PAIR, "M1", START, START + 180_000) == 3
    assert await bench.store.candle_count("USD_JPY", "M1", 0, 2**52) == 0


async def test_evaluations_can_be_given_back(bench: Bench, lease: Lease) -> None:
    points = [samples.evaluation(START + n).points[PAIR, PARAM_KEY] for n in range(5)]
    assert await bench.store.put_evaluation_points(lease, PAIR, PARAM_KEY, points) is Outcome.PUBLISHED
    assert await bench.store.evaluation_points(PAIR, PARAM_KEY, 0, 2**52) == points
    stranger = Lease("second", 1)
    assert await bench.store.put_evaluation_points(stranger, PAIR, PARAM_KEY, points) is Outcome.FENCED
