"""A witness of leadership from outside: what the server did to the lease and what it published, in the server's own order.

The server is to run with ``NOTIFIED``, so that one connection hears of the lease and of publications.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
from redis.asyncio import Redis

NOTIFIED = ("--notify-keyspace-events", "K$gx")
LEASE = "__keyspace@0__:hotband:leader"
CHANNELS = ("ws:gates", "ws:weights", "ws:manifold")


class _Numbers(msgspec.Struct):
    epoch: int
    seq: int


class Witness:
    """Checks that between one taking of the lease and the next only one epoch publishes, a higher one each time, and nothing without a lease."""

    def __init__(self) -> None:
        self.publications = 0
        self.taken = 0  # how often the lease was taken
        self.taken_at = 0.0
        self.first_at = 0.0  # of the present lease's publications; 0 before them
        self.epoch = 0  # of the newest publication
        self._held = False
        self._fresh = False  # whether the present lease has not published yet
        self._seqs: dict[str, int] = {}

    def lease(self, event: str, at: float) -> None:
        """Take note of a change of the lease: set, expire (its life was prolonged), expired, del."""
        if event == "set":
            self.taken, self.taken_at, self.first_at = self.taken + 1, at, 0.0
            self._held = self._fresh = True
        elif event in {"expired", "del"}:
            self._held = False

    def publication(self, channel: str, raw: bytes, at: float) -> None:
        """Take note of a publication, and check that it was its publisher's to make."""
        numbers = msgspec.json.decode(raw, type=_Numbers)
        assert self._held, f"{channel} was published while nobody held the lease: {numbers}"
        if self._fresh:
            assert numbers.epoch > self.epoch, f"{channel} by the deposed, whose epoch is {self.epoch}: {numbers}"
            self.epoch, self.first_at, self._fresh, self._seqs = numbers.epoch, at, False, {}
        assert numbers.epoch == self.epoch, f"{channel} is not of the epoch {self.epoch} that leads: {numbers}"
        instrument = str(msgspec.json.decode(raw).get("instrument")) if channel == "ws:manifold" else ""
        assert numbers.seq > self._seqs.get(channel + instrument, -1), f"{channel} went back: {numbers}"
        self._seqs[channel + instrument] = numbers.seq
        self.publications += 1


@asynccontextmanager
async def plainly() -> AsyncIterator[None]:
    """Raise what went wrong first, and not the groups that it came through."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


@asynccontextmanager
async def witness(url: str) -> AsyncIterator[Witness]:
    """Watch a server; what should not be ends the block with an AssertionError."""
    seen = Witness()
    async with Redis.from_url(url, protocol=2) as client, client.pubsub() as pubsub, anyio.create_task_group() as group:
        await pubsub.subscribe(LEASE, *CHANNELS)

        async def watch() -> None:
            async for message in pubsub.listen():
                if message["type"] == "message":
                    channel, data, at = message["channel"].decode(), message["data"], time.monotonic()
                    seen.lease(data.decode(), at) if channel == LEASE else seen.publication(channel, data, at)

        group.start_soon(watch)
        yield seen
        group.cancel_scope.cancel()
