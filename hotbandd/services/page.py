"""The page, kept up for as long as somebody looks at it: one picture for all of them, and what changes in it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from hotbandd.core import page
from hotbandd.core.documents import encode
from hotbandd.core.page_documents import Beat, Page, Update
from hotbandd.services.picture import Picture, Shown

log = structlog.get_logger()

TICK_SEC: Final = 1.0  # between two looks at the store
LEAST_REST_SEC: Final = 0.25
BEAT_SEC: Final = 3.0  # the longest silence towards a listener
LINGER_SEC: Final = 15.0  # the picture is kept up so long after the last look at it
FIRST_SEC: Final = 10.0  # the first picture has to be there by then
PAUSE_SEC: Final = 5.0  # after a failure
LISTENERS: Final = 32
QUEUE: Final = 16  # updates that a listener may lag behind


class Pages:
    """Builds the page from what is published, as any reader would, while somebody looks; costs nothing otherwise."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._clock = shown.context.clock
        self._picture = Picture(shown)
        self._version = 0
        self._page: Page | None = None
        self._encoded: tuple[int, bytes] = (-1, b"")
        self._listeners: set[MemoryObjectSendStream[Update]] = set()
        self._wanted_until = 0.0
        self._wanted = anyio.Event()
        self._built = anyio.Event()

    # ---- for who looks

    @property
    def room(self) -> bool:
        """Whether one more may listen."""
        return len(self._listeners) < LISTENERS

    async def snapshot(self) -> bytes | None:
        """Return the page as JSON; None where it cannot be had in time."""
        self._want()
        with anyio.move_on_after(FIRST_SEC):
            await self._built.wait()
        return None if self._page is None else self._whole(self._page)

    @asynccontextmanager
    async def listen(self, since: int | None) -> AsyncIterator[MemoryObjectReceiveStream[Update]]:
        """Receive updates, the first of them the whole page unless ``since`` is its version.

        Who lags too far behind is cut off, and may listen anew.
        """
        send, receive = anyio.create_memory_object_stream[Update](QUEUE)
        self._want()
        if self._page is not None and self._page.version != since:
            send.send_nowait(Update(self._page.version, "page", self._whole(self._page)))
        self._listeners.add(send)
        with send, receive:
            try:
                yield receive
            finally:
                self._listeners.discard(send)
                self._want()

    def _want(self) -> None:
        self._wanted_until = time.monotonic() + LINGER_SEC
        self._wanted.set()

    def _whole(self, one: Page) -> bytes:
        if self._encoded[0] != one.version:
            self._encoded = one.version, encode(one)
        return self._encoded[1]

    # ---- keeping it up

    async def run(self) -> None:
        """Keep the page up whenever somebody looks, for ever. It is a window: whatever becomes of it, the loops go on."""
        try:
            while True:
                await self._wanted.wait()
                try:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._picture.follow)
                        await self._keep_up()
                        tasks.cancel_scope.cancel()
                except Exception:
                    log.exception("page.failed")
                    self._let_go()
                    await anyio.sleep(PAUSE_SEC)
                self._rest()
        finally:
            self._let_go()

    @property
    def _in_demand(self) -> bool:
        return bool(self._listeners) or time.monotonic() < self._wanted_until

    async def _keep_up(self) -> None:
        told = 0.0
        while self._in_demand:
            began = time.monotonic()
            await self._picture.look()
            update = self._news()
            if update is None and self._page is not None and began - told >= BEAT_SEC:
                beat = Beat(version=self._page.version, now=self._clock.now())
                update = Update(self._page.version, "beat", encode(beat))
            if update is not None:
                self._send(update)
                told = began
            self._built.set()
            await anyio.sleep(max(LEAST_REST_SEC, TICK_SEC - (time.monotonic() - began)))

    def _news(self) -> Update | None:
        """Build the page anew, and return what is to be told of it."""
        self._version = max(self._version + 1, time.time_ns() // 1_000_000)  # above those of an earlier process too
        old, new = self._page, self._picture.build(self._version)
        if old is None:
            self._page = new
            return Update(new.version, "page", self._whole(new))
        changed = page.change(old, new)
        if changed is None:
            return None
        self._page = new
        return Update(new.version, "change", encode(changed))

    def _send(self, update: Update) -> None:
        for listener in tuple(self._listeners):
            try:
                listener.send_nowait(update)
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._listeners.discard(listener)
                listener.close()

    def _let_go(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _rest(self) -> None:
        """Forget all; who came meanwhile is served by a new picture."""
        if not self._in_demand:
            self._wanted = anyio.Event()
        if self._built.is_set():  # else somebody may wait for it
            self._built = anyio.Event()
        self._picture, self._page = Picture(self._shown), None
