"""What only a cluster does: the contract suite holds the rest."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest
from redis.crc import key_slot

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.cluster import ClusterBackend
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.opening import backend_at, open_valkey
from hotbandd.adapters.store.server import ValkeyServer
from hotbandd.adapters.store.signals import ValkeySignals
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import encode
from hotbandd.errors import CorruptPayloadError, RefusedError, StoreUnreachableError
from hotbandd.ports import Lease, Outcome
from tests.adapters import store_samples as samples
from tests.adapters.store_samples import AGES, PAIR, PARAM_KEY, START
from tests.clusters import Cluster, Node, cluster, until, whole
from tests.valkey import PASSWORD, as_user

GATES = keys.fence_in_cluster(keys.GATES_BLOB)
STATE = keys.fence_in_cluster(keys.gate_state(PAIR))


@pytest.fixture
async def backend(valkey_cluster: Cluster) -> AsyncIterator[ClusterBackend]:
    valkey_cluster.flush()
    found = backend_at(valkey_cluster.url())
    assert isinstance(found, ClusterBackend)
    yield found
    await found.aclose()


@pytest.fixture
def store(backend: ClusterBackend) -> DocumentStore:
    return DocumentStore(backend, AGES)


async def taken(store: DocumentStore, holder: str = "first") -> Lease:
    lease = await store.acquire_lease(holder, 60_000)
    assert lease is not None
    return lease


async def test_whoever_leads_next_fences_every_document_before_it_publishes_any(
    backend: ClusterBackend, store: DocumentStore, valkey_cluster: Cluster
) -> None:
    """A leader that was stopped behind its look at the lease is refused by the fences alone."""
    lease = await taken(store)
    await store.publish_evaluation(lease, samples.evaluation(START, lease.epoch, 1))
    await store.publish_allocation(lease, None, samples.status(START, lease.epoch, 1))
    await store.release_lease(lease)
    other = backend_at(valkey_cluster.url())
    later = await taken(DocumentStore(other, AGES), "second")
    for fence in (GATES, STATE):
        assert await backend.get(fence) == b"%d:1:%d" % (lease.epoch, later.epoch)
    await backend.set(keys.LEADER, f"{lease.holder}:{lease.epoch}".encode())  # as it looked a moment before
    assert await store.publish_evaluation(lease, samples.evaluation(START + 1, lease.epoch, 2)) is Outcome.FENCED
    status = samples.status(START + 1, lease.epoch, 2)
    assert await store.publish_allocation(lease, None, status) is Outcome.FENCED
    assert await store.allocator_status() == samples.status(START, lease.epoch, 1)
    state = await store.gate_state(PAIR)
    assert state is not None
    assert state.last_slot == START
    await other.aclose()


async def test_a_slot_that_was_cut_off_behind_its_states_is_not_counted_twice(
    backend: ClusterBackend, store: DocumentStore
) -> None:
    lease = await taken(store)
    await store.publish_evaluation(lease, samples.evaluation(START, lease.epoch, 1))
    await backend.set(GATES, b"garbage")
    with pytest.raises(CorruptPayloadError, match="hotband:fence"):
        await store.publish_evaluation(lease, samples.evaluation(START + 1, lease.epoch, 2))
    state, blob = await store.gate_state(PAIR), await store.gates_blob()
    points = await store.evaluation_points(PAIR, PARAM_KEY, 0, 2**52)
    assert state is not None
    assert blob is not None
    assert (blob.ts, state.last_slot, points[-1].ts) == (START, START + 1, START + 1)


async def test_an_epoch_lies_above_every_fence_even_if_the_slot_of_the_lease_was_lost(
    backend: ClusterBackend, store: DocumentStore
) -> None:
    lease = await taken(store)
    await store.publish_evaluation(lease, samples.evaluation(START, lease.epoch, 1))
    ahead = lease.epoch + 1_000_000_000
    await backend.set(GATES, b"%d:7:%d" % (ahead, ahead))
    again = await taken(store)
    assert again.epoch > ahead
    assert await store.publish_evaluation(again, samples.evaluation(START, again.epoch, 1)) is Outcome.PUBLISHED


async def test_a_publication_that_lost_its_rest_is_completed_when_it_comes_again(
    backend: ClusterBackend, store: DocumentStore
) -> None:
    """As where the document took effect, and the connection broke before what follows, and the message."""
    lease = await taken(store)
    slot = samples.evaluation(START, lease.epoch, 1)
    await store.publish_evaluation(lease, slot)
    await backend.set(GATES, b"%d:1:%d:due" % (lease.epoch, lease.epoch))
    await backend.set(keys.eligible(PAIR), b"", life_ms=1)
    await anyio.sleep(0.005)
    async with store.subscribe([keys.GATES_CHANNEL]) as messages:
        for _ in range(2):
            assert await store.publish_evaluation(lease, slot) is Outcome.DUPLICATE
        later = msgspec.structs.replace(slot.blob, seq=2)
        await store.publish_evaluation(lease, slot._replace(blob=later))
        with anyio.fail_after(10):
            heard = [msgspec.json.decode((await anext(messages))[1])["seq"] for _ in range(2)]
    assert heard == [1, 2]
    assert await backend.get(keys.eligible(PAIR)) == b"1"


async def test_nodes_that_forgot_the_scripts_are_given_them(store: DocumentStore, valkey_cluster: Cluster) -> None:
    lease = await taken(store)
    for node in valkey_cluster.nodes:
        node.admin.script_flush()
    assert await store.publish_evaluation(lease, samples.evaluation(START, lease.epoch, 1)) is Outcome.PUBLISHED


async def test_a_slot_on_the_move_is_reached(
    backend: ClusterBackend, store: DocumentStore, valkey_cluster: Cluster
) -> None:
    lease = await taken(store)
    slot = key_slot(keys.GATES_BLOB.encode())
    source = valkey_cluster.owner(slot)
    target = next(node for node in valkey_cluster.nodes if node is not source)
    await store.publish_evaluation(lease, samples.evaluation(START, lease.epoch, 1))
    blob = await backend.get(keys.GATES_BLOB)
    valkey_cluster.begin_move(slot, target)
    try:
        assert valkey_cluster.move_key(slot, target)
        async with anyio.create_task_group() as group:  # the fence is here, and the blob there, or the other way round
            group.start_soon(store.publish_evaluation, lease, samples.evaluation(START + 1, lease.epoch, 2))
            await anyio.sleep(0.2)
            while valkey_cluster.move_key(slot, target):
                pass
            async with anyio.create_task_group() as reading:
                for _ in range(20):
                    reading.start_soon(backend.get, keys.GATES_BLOB)
        later = samples.evaluation(START + 2, lease.epoch, 3)
        assert await store.publish_evaluation(lease, later) is Outcome.PUBLISHED
        assert await backend.get(keys.GATES_BLOB) == encode(later.blob) != blob
    finally:
        valkey_cluster.end_move(slot, target)
    assert await backend.get(keys.GATES_BLOB) == encode(later.blob)


async def test_archives_work_in_a_cluster(backend: ClusterBackend) -> None:
    trials, signals = ValkeyTrials(backend), ValkeySignals(backend, AGES)
    assert await trials.lock("me")
    assert not await trials.lock("another")
    await trials.begin("spec", START)
    assert await trials.started("spec") == START
    await trials.unlock("me")
    await signals.put_signals(PAIR, [samples.signal(START + n) for n in range(3)])
    assert await signals.newest_signal(PAIR) == START + 2
    assert await signals.hydrate(samples.manifold(START)) is True
    assert await signals.hydrate(samples.manifold(START - DAY_MS)) is False


async def test_more_calls_at_once_than_connections_wait_for_one(backend: ClusterBackend) -> None:
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(backend.set, keys.eligible(f"P{number}"), b"1")
    assert await backend.get_all([keys.eligible(f"P{number}") for number in range(100)]) == [b"1"] * 100


async def test_a_cluster_tells_of_itself(backend: ClusterBackend) -> None:
    facts = await ValkeyServer(backend).facts()
    assert facts.layout == "cluster of 3 primaries, 16384 slots served"
    assert (facts.replicas, facts.broken, facts.refused) == (0, None, None)
    assert facts.append_only is True
    assert facts.version is not None


async def test_a_cluster_that_is_away_is_told_in_one_sentence_in_time() -> None:
    async with open_valkey("redis+cluster://me:hush@127.0.0.1:1,127.0.0.1:2", AGES) as store:
        began = time.monotonic()
        with pytest.raises(
            StoreUnreachableError, match=r"Valkey at 127\.0\.0\.1:1,127\.0\.0\.1:2 does not serve .*check"
        ) as caught:
            await store.ping()
        assert time.monotonic() - began < 10
        assert "hush" not in str(caught.value)
        with pytest.raises(StoreUnreachableError):
            async with store.subscribe([keys.GATES_CHANNEL]):
                pass


async def test_a_user_that_a_cluster_does_not_know_is_refused(valkey_cluster: Cluster) -> None:
    async with open_valkey(as_user(valkey_cluster.url(), "nobody", "hush"), AGES) as store:
        with pytest.raises(RefusedError, match="check the user and password in VALKEY_URL"):
            await store.ping()


async def test_a_cluster_that_lacks_slots_is_not_served_from(tmp_path: Path) -> None:
    with closing(Node(tmp_path / "node", "--cluster-enabled", "yes")) as node:
        node.start()
        async with open_valkey(f"redis+cluster://hotband:{PASSWORD}@{node.address}", AGES) as store:
            with pytest.raises(StoreUnreachableError, match="does not serve every slot"):
                await store.ping()


async def test_one_server_is_no_cluster(tmp_path: Path) -> None:
    with closing(Node(tmp_path / "alone")) as node:
        node.start()
        async with open_valkey(f"redis+cluster://hotband:{PASSWORD}@{node.address}", AGES) as store:
            with pytest.raises(RefusedError, match=r"is no cluster; write redis:// or redis\+sentinel://"):
                await store.ping()


async def test_what_a_server_lost_that_was_started_again_and_one_that_is_gone(tmp_path: Path) -> None:
    with cluster(tmp_path / "two", primaries=2) as made:
        node, other = made.nodes
        node.admin.config_set("appendfsync", "always")  # so that no document is lost
        backend = backend_at(made.url())
        assert isinstance(backend, ClusterBackend)
        store = DocumentStore(backend, AGES)
        lease = await taken(store)
        await store.publish_evaluation(lease, samples.evaluation(START, lease.epoch, 1))
        assert await store.renew_lease(lease, 60_000) is True
        node.kill()
        node.launch()
        await anyio.to_thread.run_sync(node.serving)
        await anyio.to_thread.run_sync(until, lambda: whole(node) and whole(other), "it serves")
        assert await store.leader() == lease
        assert await store.renew_lease(lease, 60_000) is False  # it may have lost what nobody looks at
        await backend.set(keys.eligible(PAIR), b"", life_ms=1)
        await anyio.sleep(0.005)
        again = await taken(store)
        assert await store.give_back(again, repeat=False) == []  # no document was lost
        assert await backend.get(keys.eligible(PAIR)) == b"1"
        assert await store.renew_lease(again, 60_000) is True

        node.kill()
        for _ in range(3):
            client = await backend._nodes.listener(1.0)
            assert client.connection_pool.connection_kwargs["port"] == other.port
            await client.aclose()
        await store.aclose()
