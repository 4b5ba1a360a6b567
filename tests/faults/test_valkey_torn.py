"""A server killed while publications follow one another without a pause, and readers read all the time: none sees a part of one."""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.errors import StoreUnreachableError
from hotbandd.ports import Outcome, Store
from tests.adapters import store_samples as samples
from tests.adapters.store_samples import AGES, PAIR, PARAM_KEY, START
from tests.faults.runs import Runs
from tests.faults.server import server
from tests.valkey import eventually

STRINGS = (keys.GATES_BLOB, keys.gate_state(PAIR), keys.summary(PAIR), keys.WEIGHTS, keys.ALLOCATOR_STATUS)


class _Stamped(msgspec.Struct):
    ts: int = 0
    last_slot: int = 0


class Publisher:
    """Publishes slot after slot, gives back what the server lost, and goes on whatever happens."""

    def __init__(self, store: Store) -> None:
        self.published = 0
        self._store = store

    async def run(self, scope: anyio.CancelScope) -> None:
        with scope:
            await self._publish()

    async def _publish(self) -> None:
        lease = None
        for seq in itertools.count(1):
            with suppress(StoreUnreachableError):
                if lease is None:
                    lease = await self._store.acquire_lease("one", 60_000)
                    assert lease is not None
                    await self._store.give_back(lease, repeat=True)
                ts = START + seq
                gates = await self._store.publish_evaluation(lease, samples.evaluation(ts, lease.epoch, seq))
                weights, status = samples.weights(ts, lease.epoch, seq), samples.status(ts, lease.epoch, seq)
                outcome = await self._store.publish_allocation(lease, weights, status)
                self.published += 1
                if Outcome.FENCED in {gates, outcome}:
                    lease = None


class Reader:
    """Reads all keys of a publication at once, all the time."""

    def __init__(self, url: str) -> None:
        self.read = 0
        self.over = False  # said rather than cancelled, so that its connection is closed
        self._url = url

    async def run(self) -> None:
        while not self.over:
            with suppress(RedisError, OSError):
                await self._read()

    async def _read(self) -> None:
        async with Redis.from_url(self._url, protocol=2) as client:
            while not self.over:
                async with client.pipeline(transaction=True) as at_once:
                    at_once.mget(STRINGS)
                    at_once.zrevrange(keys.evaluations(PAIR, PARAM_KEY), 0, 0, withscores=True)
                    strings, points = await at_once.execute()
                if None not in strings:
                    self._whole(strings, points)
                    self.read += 1

    def _whole(self, strings: list[bytes], points: list[Any]) -> None:
        gates, state, summary, weights, status = (msgspec.json.decode(raw, type=_Stamped) for raw in strings)
        assert gates.ts == state.last_slot == summary.ts == points[0][1], f"torn: {strings} and {points}"
        assert weights.ts == status.ts, f"torn: {strings}"


async def test_nobody_reads_a_part_of_a_publication_whenever_the_server_dies(runs: Runs, tmp_path: Path) -> None:
    with server(tmp_path) as made:
        async with open_valkey(made.url, AGES) as store, anyio.create_task_group() as group:
            publisher, readers = Publisher(store), [Reader(made.url) for _ in range(2)]
            publishing = anyio.CancelScope()
            group.start_soon(publisher.run, publishing)
            for reader in readers:
                group.start_soon(reader.run)
            promise = "0 torn reads"
            for _, random in runs.of("Valkey killed under publications without a pause", promise, short=3, full=100):
                before = publisher.published

                async def goes_on(before: int = before) -> bool:
                    seen = sum(reader.read for reader in readers)
                    return publisher.published > before + 20 and seen > 0

                await eventually(goes_on, 20)
                await anyio.sleep(0.1 * random.random())
                made.kill()
                made.start()
                await anyio.to_thread.run_sync(made.serving)
            runs.note(f"{publisher.published} publications, {sum(reader.read for reader in readers)} reads")
            publishing.cancel()
            for reader in readers:
                reader.over = True
