"""A daemon, a proxy, a server and an observer: where faults of the store are tried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from hotbandd.adapters.store import keys
from hotbandd.core import schedule
from hotbandd.core.documents import AllocatorStatus, ClockAnchor, GatesBlob, Weights
from tests.faults.market import SETTINGS, SLOT_SEC
from tests.faults.observer import Observer
from tests.faults.proxy import Proxy, proxy
from tests.faults.server import Server, server
from tests.processes import Daemon, running
from tests.valkey import ROOT

PAIRS = SETTINGS["HOTBAND_PAIRS"].split(",")
MAX_AGE_MS = 2 * SLOT_SEC * 1000
LAG_SEC = 10
PATIENCE_SEC = 30.0
ANEW = httpx.Limits(max_keepalive_connections=0)  # a connection that rests may be closed as it is asked
START_SEC = 120.0
POLL_SEC = 0.01


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a document stands in its order."""

    epoch: int
    seq: int


@dataclass(frozen=True)
class Seen:
    """What readers find: where blob, weights and manifolds stand, and which slots were evaluated and allocated."""

    gates: Place
    weights: Place
    manifolds: dict[str, Place]
    evaluated: int
    allocated: int

    def covers(self, other: Seen) -> bool:
        """Tell whether nothing went back."""
        manifolds = all(self.manifolds[pair].seq >= place.seq for pair, place in other.manifolds.items())
        return self.gates >= other.gates and self.weights >= other.weights and manifolds


class Stand:
    """One daemon on one server. ``server`` has illnesses, ``proxy`` has weather."""

    def __init__(
        self,
        made: Server,
        line: Proxy,
        daemon: Daemon,
        pages: httpx.AsyncClient,
        client: Redis,
        observer: Observer,
        observing: asyncio.Task[None],
    ) -> None:
        self.server, self.proxy, self.daemon, self.observer = made, line, daemon, observer
        self._pages, self._client, self._observing = pages, client, observing
        self._anchor: ClockAnchor | None = None

    def now(self) -> int:
        """Return the daemon's clock."""
        assert self._anchor is not None
        return self._anchor.anchor_virtual + int((time.time() * 1000 - self._anchor.anchor_wall) * self._anchor.speed)

    async def code(self, page: str) -> int:
        """Return how a page answers."""
        assert self.daemon.process.poll() is None, f"the daemon ended: {self.daemon.stderr[-2000:]}"
        return (await self._pages.get(page)).status_code

    async def begin(self) -> None:
        """Wait until a weight is published."""
        await self.until(self._first, "a weight", START_SEC)
        raw = await self._client.get(keys.CLOCK)
        self._anchor = msgspec.json.decode(raw, type=ClockAnchor)

    async def _first(self) -> bool:
        raw = await self._client.get(keys.WEIGHTS)
        return raw is not None and bool(msgspec.json.decode(raw, type=Weights).weights)

    async def seen(self) -> Seen | None:
        """Return what readers find; None where something is missing."""
        names = [keys.GATES_BLOB, keys.WEIGHTS, keys.ALLOCATOR_STATUS, *map(keys.manifold, PAIRS)]
        try:
            found = await self._client.mget(names)
        except RedisError:
            return None
        if None in found:
            return None
        gates, weights, status, *manifolds = found
        return Seen(
            gates=msgspec.json.decode(gates, type=Place),
            weights=msgspec.json.decode(weights, type=Place),
            manifolds={pair: msgspec.json.decode(raw, type=Place) for pair, raw in zip(PAIRS, manifolds, strict=True)},
            evaluated=msgspec.json.decode(gates, type=GatesBlob).evaluated_ts,
            allocated=msgspec.json.decode(status, type=AllocatorStatus).ts,
        )

    async def steady(self) -> Seen:
        """Wait until all is well, and return what readers find then."""
        found: list[Seen] = []

        async def well() -> bool:
            seen = await self.seen()
            found.extend([seen] if seen is not None else [])
            return seen is not None and await self.code("/readyz") == 200

        await self.until(well, "a steady state")
        return found[-1]

    async def red(self) -> None:
        """Wait until the daemon says that it is not ready, though alive."""

        async def unready() -> bool:
            assert await self.code("/healthz") == 200
            return await self.code("/readyz") == 503

        await self.until(unready, "/readyz with 503")

    async def recovered(self, before: Seen, healed: float) -> float:
        """Wait until what was published is there again, and every slot that was due at the healing; return how long it took."""
        slot = schedule.due_slot(self.now(), SLOT_SEC, LAG_SEC)

        async def well() -> bool:
            assert await self.code("/healthz") == 200
            seen = await self.seen()
            whole = seen is not None and seen.covers(before)
            return whole and seen.evaluated >= slot <= seen.allocated and await self.code("/readyz") == 200

        await self.until(well, f"the recovery, with slot {slot}, from {before}")
        return time.monotonic() - healed

    async def until(self, check: Callable[[], Awaitable[bool]], what: str, within: float = PATIENCE_SEC) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + within
        while not await check():
            if self._observing.done():
                self._observing.result()  # raises what the observer found wrong
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come; found {await self.seen()}: {self.daemon.stderr[-3000:]}")
            await anyio.sleep(POLL_SEC)

    async def release(self) -> None:
        """Release the kill switch, as its operator does on a server that lost it."""
        await self._client.set(keys.KILL_SWITCH, "0")

    def failures(self) -> list[dict[str, Any]]:
        """Return what the daemon had to start anew."""
        return self.daemon.events("loop.failed")


@asynccontextmanager
async def stand(folder: Path, *, tcp: bool = False) -> AsyncIterator[Stand]:
    """Run all of it until the block ends. (A plain task: fixtures end in another one than they began in.)"""
    folder.mkdir(parents=True, exist_ok=True)
    with server(folder) as made:
        async with proxy(made.socket, None if tcp else folder / "proxy.sock") as line:
            settings = {**SETTINGS, "VALKEY_URL": line.url, "PYTHONPATH": str(ROOT)}
            with running(folder, module="tests.faults.market", **settings) as daemon:
                started = await anyio.to_thread.run_sync(daemon.event, "daemon.started")
                async with (
                    httpx.AsyncClient(base_url=started["http"], timeout=20, limits=ANEW) as pages,
                    Redis.from_url(made.url, protocol=2, socket_timeout=5) as client,
                ):
                    observer = Observer(made.url, PAIRS, MAX_AGE_MS)
                    observing = asyncio.create_task(observer.run())
                    built = Stand(made, line, daemon, pages, client, observer, observing)
                    try:
                        await built.begin()
                        yield built
                    finally:
                        observer.over = True
                        await asyncio.wait([observing])
