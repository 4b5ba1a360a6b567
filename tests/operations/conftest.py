"""Ports of operations over a real Valkey and a folder of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from hotbandd.adapters.files import FolderArtifacts
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.server import ValkeyServer
from hotbandd.adapters.store.signals import ValkeySignals
from hotbandd.adapters.store.valkey import ValkeyBackend
from tests.adapters.store_samples import AGES


class Outside(NamedTuple):
    store: DocumentStore
    signals: ValkeySignals
    server: ValkeyServer
    artifacts: FolderArtifacts
    redis: Redis
    home: Path


@pytest.fixture
async def outside(raw: Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Outside]:
    backend = ValkeyBackend(valkey_url)
    store = DocumentStore(backend, AGES)
    yield Outside(store, ValkeySignals(backend, AGES), ValkeyServer(backend), FolderArtifacts(tmp_path), raw, tmp_path)
    await store.aclose()
