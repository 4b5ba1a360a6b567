"""What a Valkey server says about itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.errors import RefusedError
from hotbandd.ports import ServerFacts

ROUND_TRIPS = 21
_LIFE_MS = 1000


class ValkeyServer:
    """The Server port over a connection to Valkey."""

    def __init__(self, backend: ValkeyBackend) -> None:
        self._backend = backend

    async def facts(self) -> ServerFacts:
        """Ask the server."""
        await self._backend.ping()
        said = await self._info()
        limit, used = said.get("maxmemory"), said.get("used_memory")
        saved = said.get("rdb_last_bgsave_status")
        return ServerFacts(
            version=said.get("valkey_version", said.get("redis_version")),
            used_bytes=used,
            limit_bytes=limit,
            eviction=said.get("maxmemory_policy"),
            append_only=None if "aof_enabled" not in said else bool(said["aof_enabled"]),
            last_save_ok=None if saved is None else saved == "ok",
            latency_ms=await self._latency_ms(),
            refused=await self._refused(),
        )

    async def _info(self) -> Mapping[str, Any]:
        """Return what INFO says; nothing where the user may not ask."""
        try:
            said: Mapping[str, Any] = await self._backend.ask("", self._backend.client.info())
        except RefusedError:
            return {}
        return said

    async def _latency_ms(self) -> float:
        taken = []
        for _ in range(ROUND_TRIPS):
            began = time.perf_counter()
            await self._backend.ping()
            taken.append(time.perf_counter() - began)
        return statistics.median(taken) * 1000

    async def _refused(self) -> str | None:
        """Write a key that nobody reads and that is gone in a second."""
        try:
            await self._backend.set(keys.DOCTOR, b"1", life_ms=_LIFE_MS)
        except RefusedError as error:
            return str(error)
        return None
