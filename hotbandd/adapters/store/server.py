"""What a Valkey server says about itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
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
        servers = await self._infos()
        bounded = [one for one in servers if one.get("maxmemory") and one.get("maxmemory_policy") != "noeviction"]
        limited = next(iter([*bounded, *servers]), {})
        layout, broken = await self._layout()
        return ServerFacts(
            version=min(_all(servers, "valkey_version") or _all(servers, "redis_version"), key=_numbers, default=None),
            used_bytes=sum(used) if (used := _all(servers, "used_memory")) else None,
            limit_bytes=limited.get("maxmemory"),
            eviction=limited.get("maxmemory_policy"),
            append_only=all(found) if (found := _all(servers, "aof_enabled")) else None,
            last_save_ok=set(saved) == {"ok"} if (saved := _all(servers, "rdb_last_bgsave_status")) else None,
            latency_ms=await self._latency_ms(),
            refused=await self._refused(),
            layout=layout,
            replicas=min(_all(servers, "connected_slaves"), default=None) if layout else None,
            broken=broken,
        )

    async def _infos(self) -> Sequence[Mapping[str, Any]]:
        """Return what INFO says, of each server that serves; nothing where the user may not ask."""
        try:
            return await self._backend.infos()
        except RefusedError:
            return []

    async def _layout(self) -> tuple[str, str | None]:
        try:
            return await self._backend.layout()
        except RefusedError as error:
            return "cluster", str(error)

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


def _all(servers: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [one[name] for one in servers if name in one]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]
