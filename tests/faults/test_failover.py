"""Failovers under publications without a pause: a primary behind Sentinels, a node of a cluster; slots on the move; a deposed leader there."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest
from redis.crc import key_slot

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.errors import StoreUnreachableError
from tests.adapters import store_samples as samples
from tests.clusters import DOWN_MS, HOST, Cluster, Node, Watched, cluster, synced, until, watched, whole
from tests.faults.desk import DOCUMENTS, PATIENCE_SEC, Desk, Place, Reader, desk
from tests.faults.runs import Runs
from tests.valkey import PASSWORD, ROOT, eventually

LAG_SEC = 0.3  # by which the replica is behind when the primary dies
in_thread = anyio.to_thread.run_sync


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("sentinels")) as made:
        yield made


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("replicated"), replicas=1) as made:
        yield made


@asynccontextmanager
async def scene(url: str) -> AsyncIterator[tuple[Desk, Reader]]:
    async with desk(url) as made, anyio.create_task_group() as group:
        reader = Reader(url)
        group.start_soon(reader.run)
        await made.published_since(0)
        yield made, reader
        group.cancel_scope.cancel()


async def killed(primary: Node, replica: Node) -> float:
    """Kill a primary whose replica has not heard of the last publications."""
    replica.admin.config_set("masterauth", "another")
    replica.admin.execute_command("CLIENT KILL TYPE MASTER")
    await anyio.sleep(LAG_SEC)
    primary.kill()
    killed_at = time.monotonic()
    replica.admin.config_set("masterauth", PASSWORD)
    return killed_at


async def nothing_lost(made: Desk, reader: Reader, *, whole: bool = True) -> None:
    """Check that readers find everything that was acknowledged, or what came later, all of one slot.

    Not ``whole``: a publication without an answer may have been lost in part. What is left of it is a state, with which the next slot begins,
    or what stands beside a document until the next one comes; a reader may have taken what is gone.
    """
    await made.rest()
    acknowledged = {key: one.place for key, one in made.acknowledged.items()}
    await made.leading()
    found: dict[str, Place] = {}

    async def there() -> bool:
        for key in DOCUMENTS:
            raw = await made.store._backend.get(key)
            found[key] = msgspec.json.decode(raw, type=Place) if raw else Place(0, 0)
        known = {key: max(acknowledged[key], reader.taken[key]) for key in DOCUMENTS} if whole else acknowledged
        return all(found[key] >= known[key] for key in DOCUMENTS)

    try:
        await eventually(there, PATIENCE_SEC)
    except AssertionError:
        raise AssertionError(f"acknowledged {acknowledged}, taken by a reader {reader.taken}, found {found}") from None
    blob, state = await made.store.gates_blob(), await made.store.gate_state(samples.PAIR)
    summary, status, weights = (
        await made.store.summary(samples.PAIR),
        await made.store.allocator_status(),
        await made.store.weights(),
    )
    assert blob is not None
    assert state is not None
    assert summary is not None
    assert status is not None
    assert weights is not None
    for document, beside in ((blob.ts, state.last_slot), (blob.ts, summary.ts), (weights.ts, status.ts)):
        assert beside == document if whole else beside >= document


async def failover(made: Desk, reader: Reader, random: Random, kill: Callable[[], Any], *, rest: bool) -> float:
    """Kill a primary under publications, which then rest, or go on; return how long it took until all was there again."""
    await anyio.sleep(random.uniform(0, 0.5))
    epoch = made.leadership.lease.epoch if made.leadership.lease else 0
    at = await kill()
    if rest:  # so that nothing but what is given back is there
        await made.rest()
        await made.leading(epoch)
        await nothing_lost(made, reader, whole=False)
        took = time.monotonic() - at
        made.go_on()
        await made.published_since(time.monotonic())
    else:
        took = await made.published_since(at + DOWN_MS / 1000) - at
    await nothing_lost(made, reader)
    made.go_on()
    return took


async def test_a_primary_dies_behind_sentinels(runs: Runs, sentinels: Watched) -> None:
    promise = "0 documents stale for who honours the epoch, 0 lost that were acknowledged; heals by itself"
    async with scene(sentinels.url) as (made, reader):
        for seed, random in runs.of(
            "a primary killed behind three Sentinels, its replica behind", promise, short=2, full=30
        ):
            primary = sentinels.primary()
            replica = sentinels.replica(primary)
            await in_thread(until, lambda: synced(replica), "the replica follows")  # noqa: B023
            runs.recovered(await failover(made, reader, random, lambda: killed(primary, replica), rest=seed % 2 == 0))  # noqa: B023
            primary.launch()
            await in_thread(primary.serving)
            primary.admin.execute_command("REPLICAOF", HOST, replica.port)  # a Sentinel would say so after some 8 s
        runs.note(f"{made.published} published, {reader.read} read, {reader.behind.total()} not taken")


async def test_a_node_of_a_cluster_dies(runs: Runs, replicated: Cluster) -> None:
    promise = "0 documents stale for who honours the epoch, 0 lost that were acknowledged; heals by itself"
    async with scene(replicated.url()) as (made, reader):
        names = [*DOCUMENTS, keys.LEADER]
        for seed, random in runs.of("a node of a cluster killed, its replica behind", promise, short=2, full=30):
            primary = replicated.owner(key_slot(names[seed % len(names)].encode()))
            replica = replicated.replica(primary)
            await in_thread(until, lambda: synced(replica), "the replica follows")  # noqa: B023
            runs.recovered(await failover(made, reader, random, lambda: killed(primary, replica), rest=seed % 2 == 0))  # noqa: B023
            primary.launch()
            await in_thread(primary.serving)
            await in_thread(until, lambda: all(map(whole, replicated.nodes)), "the cluster is whole")
        runs.note(f"{made.published} published, {reader.read} read, {reader.behind.total()} not taken")


async def test_slots_move_under_publications(runs: Runs, replicated: Cluster) -> None:
    name = "the slots of the documents and of the lease moved from node to node"
    async with scene(replicated.url()) as (made, reader):
        for _, random in runs.of(name, "0 publications refused, 0 documents stale or lost", short=1, full=20):
            failed, began = made.failed, time.monotonic()
            for key in (*DOCUMENTS, keys.LEADER, keys.DOCUMENTS, keys.gate_state(samples.PAIR)):
                slot = key_slot(key.encode())
                owner = replicated.owner(slot)
                others = [
                    one
                    for one in replicated.nodes
                    if one is not owner and one.admin.info("replication")["role"] == "master"
                ]
                await in_thread(replicated.move, slot, random.choice(others))
            moved = time.monotonic()
            runs.recovered(await made.published_since(moved) - moved)
            assert made.failed == failed
            assert reader.behind["read"] == 0  # messages by way of two nodes may change places
            runs.note(f"{moved - began:.1f} s for six slots")
        await nothing_lost(made, reader)


async def test_a_sentinel_that_names_a_dead_primary(runs: Runs, tmp_path: Path) -> None:
    with watched(tmp_path, sentinels=1) as made:  # which elects nobody alone
        async with open_valkey(made.url, samples.AGES) as store:
            for _ in runs.of(
                "a Sentinel that names a dead primary, and cannot elect another alone",
                "one sentence in time; heals",
                short=1,
                full=10,
            ):
                await store.ping()
                made.servers[0].kill()
                seen = set()

                async def told(seen: set[str] = seen) -> bool:
                    began = time.monotonic()
                    with pytest.raises(StoreUnreachableError) as caught:
                        await store.ping()
                    assert time.monotonic() - began < PATIENCE_SEC / 4
                    seen.add(str(caught.value))
                    return any("name no primary" in text for text in seen)

                await eventually(told, PATIENCE_SEC)
                assert all(PASSWORD not in text for text in seen)
                healed = time.monotonic()
                made.servers[0].launch()
                await in_thread(made.servers[0].serving)

                async def answers() -> bool:
                    try:
                        await store.ping()
                    except StoreUnreachableError:
                        return False
                    return True

                await eventually(answers, PATIENCE_SEC)
                runs.recovered(time.monotonic() - healed)


async def test_a_deposed_leader_of_a_cluster_publishes_nothing(runs: Runs, replicated: Cluster) -> None:
    """Two processes; the one that leads is stopped anywhere between the parts of a publication, and resumed once the other leads."""
    promise = "each document and each channel only ever goes forward"
    async with AsyncExitStack() as stack:
        publishers = {}
        for holder in ("one", "two"):
            words = [sys.executable, "-m", "tests.faults.publisher", replicated.url(), holder, "0.5"]
            publishers[holder] = await anyio.open_process(words, cwd=ROOT, stdout=None, stderr=None)
            stack.push_async_callback(publishers[holder].aclose)
            stack.callback(publishers[holder].kill)
        group = await stack.enter_async_context(anyio.create_task_group())
        reader = Reader(replicated.url())
        group.start_soon(reader.run)
        async with open_valkey(replicated.url(), samples.AGES) as store:

            async def led(but: str = "") -> str:
                lease = None

                async def leads() -> bool:
                    nonlocal lease
                    with suppress(StoreUnreachableError):
                        lease = await store.leader()
                    return (
                        lease is not None
                        and lease.holder != but
                        and reader.taken.get(keys.GATES_BLOB, Place(0, 0)).epoch == lease.epoch
                    )

                await eventually(leads, PATIENCE_SEC)
                assert lease is not None
                return str(lease.holder)

            for _, random in runs.of("a cluster's leader stopped and resumed", promise, short=3, full=300):
                leader = await led()
                await anyio.sleep(random.uniform(0, 0.2))
                os.kill(publishers[leader].pid, signal.SIGSTOP)
                began = time.monotonic()
                await led(but=leader)
                runs.recovered(time.monotonic() - began)
                os.kill(publishers[leader].pid, signal.SIGCONT)
                await anyio.sleep(random.uniform(0, 0.3))
                assert reader.behind.total() == 0
        runs.note(f"{reader.read} read")
        group.cancel_scope.cancel()
