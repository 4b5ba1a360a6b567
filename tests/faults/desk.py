"""A process's publications without a pause, and readers beside them, over whatever keeps the state."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import anyio
import msgspec

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.backend import Backend
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.opening import backend_at, open_valkey
from hotbandd.errors import FencedError, StoreUnreachableError, UnreachableError
from hotbandd.ports import Outcome
from hotbandd.services.health import Health
from hotbandd.services.leader import Leader, Leadership
from tests.adapters import store_samples as samples
from tests.faults import publisher
from tests.services.recording import RecordingTelemetry
from tests.valkey import eventually

TTL_SEC = 5.0
PATIENCE_SEC = 60.0
DOCUMENTS = {
    keys.manifold(samples.PAIR): publisher.manifold,
    keys.GATES_BLOB: publisher.evaluation,
    keys.WEIGHTS: publisher.allocation,
}
CHANNELS = {
    keys.MANIFOLD_CHANNEL: keys.manifold(samples.PAIR),
    keys.GATES_CHANNEL: keys.GATES_BLOB,
    keys.WEIGHTS_CHANNEL: keys.WEIGHTS,
}


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a document stands in its order."""

    epoch: int
    seq: int


class Acknowledged(NamedTuple):
    """The newest publication of a document that was answered, and when."""

    place: Place
    at: float


class Desk:
    """Leads, and publishes three documents without a pause while it is not ``resting``; everything between is the product's."""

    def __init__(self, store: DocumentStore, leadership: Leadership) -> None:
        self.store = store
        self.leadership = leadership
        self.acknowledged: dict[str, Acknowledged] = {}
        self.published = 0
        self.failed = 0
        self._going = anyio.Event()
        self._going.set()
        self._busy = 0

    async def publish(self, key: str, one: publisher.Publish) -> None:
        """Publish one document again and again."""
        for seq in itertools.count(1):
            lease = await self.leadership.held()
            while not self._going.is_set():
                await self._going.wait()
                lease = await self.leadership.held()
            self._busy += 1
            try:
                outcome = await one(self.store, lease, seq)
                self.leadership.accept(outcome, "a sample", lease)
                if outcome is Outcome.PUBLISHED:
                    self.acknowledged[key] = Acknowledged(Place(lease.epoch, seq), time.monotonic())
                    self.published += 1
            except (FencedError, UnreachableError):
                self.failed += 1
            finally:
                self._busy -= 1
            await anyio.sleep(publisher.PAUSE_SEC)

    async def rest(self) -> None:
        """Publish nothing more for now."""
        if self._going.is_set():
            self._going = anyio.Event()
        while self._busy:  # noqa: ASYNC110  over in a moment, or when the store gives up
            await anyio.sleep(0.01)

    def go_on(self) -> None:
        """Publish again."""
        self._going.set()

    async def published_since(self, moment: float, count: int = 1) -> float:
        """Wait until every document was published since a moment, under whatever lease; return when the last of them was first."""
        first: dict[str, float] = {}

        async def done() -> bool:
            for key, (_, at) in self.acknowledged.items():
                if at > moment:
                    first.setdefault(key, at)
            return len(first) == len(DOCUMENTS) and self.published >= count

        await eventually(done, PATIENCE_SEC)
        return max(first.values())

    async def leading(self, epoch: int = 0) -> None:
        """Wait until it leads with an epoch above one."""

        async def leads() -> bool:
            lease = self.leadership.lease
            return lease is not None and lease.epoch > epoch

        await eventually(leads, PATIENCE_SEC)


@asynccontextmanager
async def desk(url: str) -> AsyncIterator[Desk]:
    """Run one."""
    leadership = Leadership()
    async with open_valkey(url, samples.AGES) as store, anyio.create_task_group() as group:
        made = Desk(store, leadership)
        leader = Leader(leadership, store, RecordingTelemetry(), Health(), "desk", TTL_SEC)
        for key, one in DOCUMENTS.items():
            group.start_soon(made.publish, key, one)
        group.start_soon(leader.run)
        yield made
        group.cancel_scope.cancel()


class Reader:
    """Reads the documents over connections of its own, and honours the epoch: what stands behind what it knows, it does not take."""

    def __init__(self, url: str) -> None:
        self.taken: dict[str, Place] = {}
        self.read = 0
        self.behind = Counter[str]()  # what was behind the last one that was read, or heard, and so was not taken
        self._url = url
        self._newest: dict[tuple[str, str], Place] = {}
        self._raws: dict[tuple[str, Place], bytes] = {}

    async def run(self) -> None:
        """Read, and listen, for ever."""
        backend = backend_at(self._url)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._again, self._look, backend)
                group.start_soon(self._again, self._listen, backend)
        finally:
            await backend.aclose()

    async def _again(self, watch: Callable[[Backend], Awaitable[None]], backend: Backend) -> None:
        while True:
            with suppress(StoreUnreachableError):
                await watch(backend)
            await anyio.sleep(0.01)

    async def _look(self, backend: Backend) -> None:
        for key in DOCUMENTS:
            raw = await backend.get(key)
            if raw is not None:
                self._see("read", key, raw)

    async def _listen(self, backend: Backend) -> None:
        async with backend.subscribe(list(CHANNELS)) as messages:
            async for channel, raw in messages:
                self._see("heard", CHANNELS[channel], raw)

    def _see(self, how: str, key: str, raw: bytes) -> None:
        place = msgspec.json.decode(raw, type=Place)
        known = self._raws.setdefault((key, place), raw)
        assert known == raw, f"two documents of {key} at {place}"
        self.read += 1
        newest = self._newest.get((how, key), place)
        self.behind[how] += place < newest
        self._newest[how, key] = max(newest, place)
        self.taken[key] = max(self.taken.get(key, place), place)
