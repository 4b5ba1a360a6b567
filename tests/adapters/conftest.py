"""Stores for tests: one over the real server of the session, and its twin in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from hotbandd.adapters.store.backend import Backend
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.memory import MemoryBackend
from hotbandd.adapters.store.valkey import ValkeyBackend
from tests.adapters.store_samples import AGES


class Bench(NamedTuple):
    """A store, and the backend below it, to put garbage there."""

    store: DocumentStore
    backend: Backend

    def at_speed(self, speed: float) -> DocumentStore:
        """Return a store on the same backend under a faster clock."""
        return DocumentStore(self.backend, AGES, speed=speed)


@pytest.fixture(params=["memory", "valkey"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Return each kind of store, empty."""
    backend: Backend
    if request.param == "memory":
        backend = MemoryBackend(lambda: time.time_ns() // 1_000_000)
    else:
        server = request.getfixturevalue("valkey")
        async with Redis.from_url(server.admin_url, protocol=2) as client:
            await client.flushall()
        backend = ValkeyBackend(server.url)
    store = DocumentStore(backend, AGES)
    yield Bench(store, backend)
    await store.aclose()


@pytest.fixture
async def valkey_store(raw: Redis, valkey_url: str) -> AsyncIterator[DocumentStore]:
    """Return a store on the emptied server."""
    store = DocumentStore(ValkeyBackend(valkey_url), AGES)
    yield store
    await store.aclose()
