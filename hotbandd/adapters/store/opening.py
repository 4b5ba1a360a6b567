"""Opens the store at a URL, whatever it leads to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hotbandd.adapters.store.cluster import ClusterBackend
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.ports import Ages
from hotbandd.settings import valkey_url


def backend_at(url: str) -> ValkeyBackend:
    """Return what speaks to a server, to the primary of Sentinels, or to a cluster. Raises SettingsError."""
    return ClusterBackend(url) if valkey_url.layout(url) == "cluster" else ValkeyBackend(url)


@asynccontextmanager
async def open_valkey(url: str, ages: Ages, *, speed: float = 1.0) -> AsyncIterator[DocumentStore]:
    """Open the store at a URL; connects with the first call, so that a server that is away stops no start."""
    store = DocumentStore(backend_at(url), ages, speed=speed)
    try:
        yield store
    finally:
        await store.aclose()
