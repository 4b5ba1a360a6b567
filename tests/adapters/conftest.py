"""Stores for tests: one over the real server of the session, one over a real cluster, and their twin in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.backend import Backend
from hotbandd.adapters.store.cluster import ClusterBackend
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.memory import MemoryBackend
from hotbandd.adapters.store.valkey import ValkeyBackend
from tests.adapters.store_samples import AGES
from tests.clusters import Cluster, cluster


class Bench(NamedTuple):
    """A store, and the backend below it, to put garbage there."""

    store: DocumentStore
    backend: Backend

    def fence(self, document: str) -> str:
        """Return the key of a document's fence."""
        if isinstance(self.backend, ClusterBackend):
            return keys.fence_in_cluster(keys.fenced(document))
        return keys.fence(document)

    @property
    def epoch(self) -> str:
        """Return the key of the highest epoch."""
        return keys.EPOCH_IN_CLUSTER if isinstance(self.backend, ClusterBackend) else keys.EPOCH

    def at_speed(self, speed: float) -> DocumentStore:
        """Return a store on the same backend under a faster clock."""
        return DocumentStore(self.backend, AGES, speed=speed)


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a real cluster of three primaries, one for the session."""
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Return each kind of store, empty."""
    backend: Backend
    if request.param == "memory":
        backend = MemoryBackend(lambda: time.time_ns() // 1_000_000)
    elif request.param == "cluster":
        made = request.getfixturevalue("valkey_cluster")
        made.flush()
        backend = ClusterBackend(made.url())
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
