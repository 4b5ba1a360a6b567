"""Messages from Valkey: a connection of its own that says so when it may have missed some."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from hotbandd.adapters.store.failures import CAUGHT, translated

PING_SEC = 1.0
SILENCE_SEC = 3.0
CLOSE_SEC = 1.0


@asynccontextmanager
async def subscription(
    opened: Callable[[float], Awaitable[Redis]], place: str, channels: Sequence[str]
) -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
    """Subscribe to channels and iterate over (channel, payload). ``opened`` gives a client that waits so many seconds, and does not try again.

    redis-py would subscribe again by itself after a short outage, and hide the gap: here the first failure, or a
    server that is silent for 3 s, raises StoreUnreachableError.
    """
    client: Redis | None = None
    try:
        try:
            with anyio.fail_after(SILENCE_SEC):
                client = await opened(SILENCE_SEC)
                pubsub = client.pubsub()
                await pubsub.subscribe(*channels)
                await _confirmed(pubsub, len(channels))
        except CAUGHT as error:
            raise translated(error, place, "") from error
        async with pubsub:
            yield _messages(pubsub, place)
    finally:
        if client is not None:
            with anyio.move_on_after(CLOSE_SEC, shield=True):
                await client.aclose()


async def _confirmed(pubsub: PubSub, count: int) -> None:
    while count:
        frame = await pubsub.get_message(timeout=PING_SEC)
        count -= frame is not None and frame["type"] == "subscribe"


async def _messages(pubsub: PubSub, place: str) -> AsyncIterator[tuple[str, bytes]]:
    heard = pinged = time.monotonic()
    while True:
        try:
            now = time.monotonic()
            if now - heard > SILENCE_SEC:
                raise TimeoutError("it is silent")
            if now - pinged >= PING_SEC:
                await pubsub.ping()
                pinged = now
            frame: dict[str, Any] | None = await pubsub.get_message(timeout=PING_SEC)
        except CAUGHT as error:
            raise translated(error, place, "") from error
        if frame is None:
            continue
        heard = time.monotonic()
        if frame["type"] == "message":
            yield frame["channel"].decode(), frame["data"]
