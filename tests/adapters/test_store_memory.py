"""What only the store in memory does: it lives by the clock that it is given."""

from __future__ import annotations

import anyio
import pytest

from hotbandd.adapters.store import keys, memory
from hotbandd.adapters.store.memory import MemoryBackend, MemoryStore
from hotbandd.core.documents import encode
from hotbandd.errors import StoreUnreachableError
from tests.adapters import store_samples as samples
from tests.adapters.store_samples import AGES, PAIR, START


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


async def test_documents_expire_by_the_given_clock_and_the_lease_does_not() -> None:
    clock = Clock()
    store = MemoryStore(AGES, clock)
    lease = await store.acquire_lease("replay", 60_000)
    assert lease is not None
    assert lease.epoch == START
    await store.publish_manifold(lease, samples.update())
    await store.publish_evaluation(lease, samples.evaluation())
    clock.now += 299_999
    assert await store.manifold(PAIR) is not None
    clock.now += 1
    assert await store.manifold(PAIR) is None
    assert await store.gates_blob() is not None
    clock.now += 1_500_000
    assert await store.gates_blob() is None
    assert await store.gate_state(PAIR) is not None
    assert await store.leader() == lease


async def test_a_document_that_is_written_again_lives_anew() -> None:
    clock = Clock()
    backend = MemoryBackend(clock)
    await backend.set("key", b"1", life_ms=1000)
    clock.now += 600
    await backend.set("key", b"2", life_ms=1000)
    clock.now += 600
    assert await backend.get("key") == b"2"
    await backend.set("key", b"3")
    clock.now += 10_000
    assert await backend.get("key") == b"3"


async def test_expired_signals_leave_the_memory() -> None:
    clock = Clock()
    backend = MemoryBackend(clock)
    store = memory.DocumentStore(backend, AGES)
    lease = await store.acquire_lease("replay", 60_000)
    assert lease is not None
    for day in range(30):
        clock.now = START + day * 86_400_000
        await store.publish_manifold(lease, samples.update(clock.now, seq=day))
    assert sum(key.startswith("sep:signal:") for key in backend._values) == 7
    assert len(await backend.range(keys.signal_index(PAIR), 0, clock.now, 100)) == 8


async def test_a_subscription_to_a_closed_store_says_so() -> None:
    store = MemoryStore(AGES, Clock())
    async with store.subscribe([keys.GATES_CHANNEL]) as messages:
        await store.aclose()
        with anyio.fail_after(1), pytest.raises(StoreUnreachableError):
            await anext(messages)


async def test_a_subscriber_that_lags_is_cut_off_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "QUEUE", 3)
    store = MemoryStore(AGES, Clock())
    lease = await store.acquire_lease("replay", 60_000)
    assert lease is not None
    async with store.subscribe([keys.GATES_CHANNEL]) as messages:
        for seq in range(5):
            await store.publish_evaluation(lease, samples.evaluation(START, seq=seq))
        with anyio.fail_after(1):
            heard = [(await anext(messages))[1] for _ in range(3)]
            with pytest.raises(StoreUnreachableError):
                await anext(messages)
    assert heard == [encode(samples.blob(START, seq=seq)) for seq in range(3)]
