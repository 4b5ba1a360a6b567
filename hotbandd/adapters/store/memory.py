"""The store in memory: passes the same contract as Valkey, for replay at full speed and for tests."""

from __future__ import annotations

import heapq
import math
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.backend import (
    Answer,
    Command,
    Delete,
    Ends,
    Fence,
    PackDay,
    Publication,
    PutMember,
    Scored,
    Send,
    SetHash,
    SetValue,
    Trim,
    lease_text,
)
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.errors import CorruptPayloadError, StoreUnreachableError
from hotbandd.ports import Ages, Lease, Outcome

QUEUE = 1024  # messages that a subscriber may lag behind


class MemoryStore(DocumentStore):
    """The Store port in memory; ``now_ms`` judges the life of keys, as the server's clock does in Valkey."""

    def __init__(self, ages: Ages, now_ms: Callable[[], int], speed: float = 1.0) -> None:
        super().__init__(MemoryBackend(now_ms), ages, speed=speed)


class SortedSet:
    """Members by score, one each; appending in order is cheap, any other order sorts once before the next read."""

    def __init__(self) -> None:
        self._members: dict[int, bytes] = {}
        self._scores: list[int] = []
        self._sorted = True

    def put(self, member: bytes, score: int) -> None:
        """Make a member the only one of its score."""
        if score not in self._members:
            self._sorted = self._sorted and (not self._scores or score > self._scores[-1])
            self._scores.append(score)
        self._members[score] = member

    def ends(self) -> Ends:
        """Return the ends of a set that is not empty."""
        scores = self._ascending()
        return Ends((self._members[scores[-1]], float(scores[-1])), float(scores[0]))

    def trim(self, before: int) -> None:
        """Remove the members whose score is below a bound."""
        scores = self._ascending()
        if scores and scores[0] < before:
            self._remove(slice(0, bisect_left(scores, before)))

    def remove(self, first: int, last: int) -> None:
        """Remove the members whose score lies in [first, last]."""
        scores = self._ascending()
        self._remove(slice(bisect_left(scores, first), bisect_right(scores, last)))

    def _remove(self, gone: slice) -> None:
        for score in self._scores[gone]:
            del self._members[score]
        del self._scores[gone]

    def range(self, first: int, last: int, limit: int) -> list[Scored]:
        """Return the first members whose score lies in [first, last], ascending."""
        scores = self._ascending()
        start, stop = bisect_left(scores, first), bisect_right(scores, last)
        return [(self._members[score], score) for score in scores[start : min(stop, start + limit)]]

    def count(self, first: int, last: int) -> int:
        """Return how many members have a score in [first, last]."""
        scores = self._ascending()
        return bisect_right(scores, last) - bisect_left(scores, first)

    def newest(self, limit: int) -> list[Scored]:
        """Return the members of the highest scores, descending."""
        return [(self._members[score], score) for score in reversed(self._ascending()[-limit:])]

    def _ascending(self) -> list[int]:
        if not self._sorted:
            self._scores.sort()
            self._sorted = True
        return self._scores


class MemoryBackend:
    """Keeps everything in this process. A lease lives by the real clock, as the work that renews it does."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._values: dict[str, bytes] = {}
        self._sets: dict[str, SortedSet] = {}
        self._hashes: dict[str, dict[str, bytes]] = {}  # packed days
        self._ends: dict[str, int] = {}
        self._ending: list[tuple[int, str]] = []
        self._lease_end = math.inf
        self._subscribers: list[tuple[frozenset[str], MemoryObjectSendStream[tuple[str, bytes]]]] = []

    async def ping(self) -> None:
        """Answer."""

    async def aclose(self) -> None:
        """End the subscriptions."""
        for _, stream in self._subscribers:
            stream.close()
        self._subscribers.clear()

    async def get(self, key: str) -> bytes | None:
        """Return a string."""
        self._expire()
        return self._lease() if key == keys.LEADER else self._values.get(key)

    async def set(self, key: str, value: bytes, *, life_ms: int | None = None, only_if_missing: bool = False) -> None:
        """Set a string."""
        self._expire()
        if not (only_if_missing and key in self._values):
            self._keep(key, value, life_ms)

    async def put(self, key: str, members: Sequence[Scored]) -> Ends:
        """Make each member the only one of its score."""
        found = self._set_at(key)
        for member, score in members:
            found.put(member, int(score))
        return found.ends()

    async def trim(self, key: str, before: int) -> None:
        """Remove the members whose score is below a bound."""
        self._set_at(key).trim(before)

    async def range(self, key: str, first: int, last: int, limit: int) -> list[Scored]:
        """Return the first members whose score lies in [first, last], ascending."""
        return self._set_at(key).range(first, last, limit)

    async def count(self, key: str, first: int, last: int) -> int:
        """Return how many members have a score in [first, last]."""
        return self._set_at(key).count(first, last)

    async def newest(self, key: str, limit: int) -> list[Scored]:
        """Return the members of the highest scores, descending."""
        return self._set_at(key).newest(limit)

    async def names(self, key: str) -> list[str]:
        """Return the names of the fields of a hash."""
        return list(self._hashes.get(key, {}))

    async def fields(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        """Return fields of a hash."""
        found = self._hashes.get(key, {})
        return [found.get(name) for name in names]

    async def drop(self, key: str, names: Sequence[str]) -> None:
        """Remove fields of a hash."""
        for name in names:
            self._hashes.get(key, {}).pop(name, None)

    async def pack(self, packed: PackDay) -> bool:
        """Pack a day; return whether that was done."""
        place, day, (first, last), members, old, value = packed
        recent, days = self._set_at(place.recent), self._hashes.setdefault(place.packed, {})
        if [member for member, _ in recent.range(first, last, sys.maxsize)] != members or days.get(day) != old:
            return False
        days[day] = value
        recent.remove(first, last)
        return True

    async def publish(self, publication: Publication) -> Answer:
        """Apply a publication: nothing here awaits, so nobody sees a part of it."""
        self._expire()
        count = self._count(publication.floor)
        outcome = Outcome.FENCED if count < publication.floor else self._published(publication)
        if outcome is Outcome.PUBLISHED:
            count += 1
            self._keep(keys.COUNT, b"%d" % count, None)
        return Answer(outcome, count)

    def _published(self, publication: Publication) -> Outcome:
        if self._lease() != lease_text(publication.lease).encode():
            return Outcome.FENCED
        refusal = publication.fence and self._refusal(publication.fence)
        if refusal and not (publication.again and refusal is Outcome.DUPLICATE):
            return refusal
        if publication.over and _stamp(self._values.get(publication.over[0])) > publication.over[1]:
            return Outcome.DUPLICATE
        if publication.given and self._values.get(publication.given[0]) != publication.given[1]:
            return Outcome.CHANGED
        if publication.fence:
            document, epoch, seq = publication.fence
            self._keep(keys.fence(document), b"%d:%d" % (epoch, seq), None)
        for command in publication.commands:
            self._apply(command)
        return Outcome.PUBLISHED

    def _refusal(self, fence: Fence) -> Outcome | None:
        key = keys.fence(fence.document)
        raw = self._values.get(key)
        if raw is None:
            return None
        epoch, _, seq = raw.partition(b":")
        if not (epoch.isdigit() and seq.isdigit()):
            raise CorruptPayloadError(key, "expected epoch:seq")
        stored, ours = (int(epoch), int(seq)), (fence.epoch, fence.seq)
        if ours == stored:
            return Outcome.DUPLICATE
        return Outcome.FENCED if ours < stored else None

    def _count(self, floor: int) -> int:
        """Return how often something was published; a count that is none tells nothing of a loss."""
        raw = self._values.get(keys.COUNT, b"0")
        return int(raw) if raw.isdigit() else floor

    def _apply(self, command: Command) -> None:
        match command:
            case SetValue(key, value, life_ms):
                self._keep(key, value, life_ms)
            case PutMember(key, member, score):
                self._set_at(key).put(member, score)
            case Trim(key, before):
                self._set_at(key).trim(before)
            case SetHash(key, fields, life_ms):
                self._keep(key, _packed(fields), life_ms)
            case Delete(key):
                self._values.pop(key, None)
                self._ends.pop(key, None)
            case Send(channel, message):
                self._send(channel, message)

    def _send(self, channel: str, message: bytes) -> None:
        for subscriber in tuple(self._subscribers):
            channels, stream = subscriber
            if channel in channels:
                try:
                    stream.send_nowait((channel, message))
                except anyio.WouldBlock:
                    self._subscribers.remove(subscriber)
                    stream.close()

    @asynccontextmanager
    async def subscribe(self, channels: Sequence[str]) -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
        """Receive the messages of channels; who lags too far behind is cut off, as Valkey does."""
        send, receive = anyio.create_memory_object_stream[tuple[str, bytes]](QUEUE)
        subscriber = (frozenset(channels), send)
        self._subscribers.append(subscriber)

        async def messages() -> AsyncIterator[tuple[str, bytes]]:
            async for message in receive:
                yield message
            raise StoreUnreachableError("The store closed this subscription; subscribe anew and read the keys again.")

        with send, receive:
            try:
                yield messages()
            finally:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

    async def acquire(self, holder: str, ttl_ms: int, above: int) -> bytes:
        """Take the lease where it is free or the holder's own, with a new epoch above another; return the lease in force."""
        current = self._lease()
        if current is not None and current.rpartition(b":")[0] != holder.encode():
            return current
        kept = self._values.get(keys.EPOCH, b"")
        epoch = max(int(kept) + 1 if kept.isdigit() else 0, above + 1, self._now_ms())
        self._keep(keys.EPOCH, b"%d" % epoch, None)
        self._values[keys.LEADER] = taken = lease_text(Lease(holder, epoch)).encode()
        self._lease_end = time.monotonic() + ttl_ms / 1000
        return taken

    async def renew(self, lease: Lease, ttl_ms: int, floor: int) -> bool:
        """Prolong a lease that is in force, unless fewer publications than that are counted."""
        self._expire()
        held = self._lease() == lease_text(lease).encode() and self._count(floor) >= floor
        if held:
            self._lease_end = time.monotonic() + ttl_ms / 1000
        return held

    async def release(self, lease: Lease) -> None:
        """Remove a lease that is in force."""
        if self._lease() == lease_text(lease).encode():
            del self._values[keys.LEADER]

    def _lease(self) -> bytes | None:
        if keys.LEADER in self._values and time.monotonic() >= self._lease_end:
            del self._values[keys.LEADER]
        return self._values.get(keys.LEADER)

    def _set_at(self, key: str) -> SortedSet:
        return self._sets.setdefault(key, SortedSet())

    def _keep(self, key: str, value: bytes, life_ms: int | None) -> None:
        self._values[key] = value
        self._ends.pop(key, None)
        if life_ms is not None:
            end = self._now_ms() + life_ms
            self._ends[key] = end
            heapq.heappush(self._ending, (end, key))

    def _expire(self) -> None:
        now = self._now_ms()
        while self._ending and self._ending[0][0] <= now:
            end, key = heapq.heappop(self._ending)
            if self._ends.get(key) == end:
                del self._ends[key], self._values[key]


def _packed(fields: Mapping[str, bytes]) -> bytes:
    """Return a hash as one string: weeks of signals in dictionaries would take hundreds of megabytes."""
    return b"\n".join(b"%s=%s" % (name.encode(), value) for name, value in fields.items())


class _Stamped(msgspec.Struct):
    ts: int


def _stamp(raw: bytes | None) -> int:
    """Return the ts of a document; -1 where there is none that could be read."""
    try:
        return -1 if raw is None else msgspec.json.decode(raw, type=_Stamped).ts
    except msgspec.DecodeError:
        return -1
