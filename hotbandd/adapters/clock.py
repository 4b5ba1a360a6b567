"""Clocks: the real one, one that runs fast, and a virtual one that jumps from event to event."""

from __future__ import annotations

import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from math import inf

import anyio


class SteadyClock:
    """UTC as read once, carried on by the monotonic clock at a speed; a jump of the wall clock does not reach it.

    ``anchor_virtual`` is what the clock shows at its start, UTC epoch ms; without it, the wall clock's reading.
    """

    def __init__(self, *, speed: float = 1.0, anchor_virtual: int | None = None) -> None:
        self.anchor_wall = time.time_ns() // 1_000_000
        self.anchor_virtual = self.anchor_wall if anchor_virtual is None else anchor_virtual
        self._anchor = time.monotonic()
        self._speed = speed

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""
        return self._speed

    def now(self) -> int:
        """Return the moment, UTC epoch ms."""
        return self.anchor_virtual + int((time.monotonic() - self._anchor) * 1000 * self._speed)

    async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
        """Wait until the clock shows a moment; the order of those that wake together is not kept."""
        del rank
        while (left := moment_ms - self.now()) > 0:  # noqa: ASYNC110  time is what it waits for
            await anyio.sleep(left / 1000 / self._speed)


class VirtualClock:
    """A clock that stands still while anyone works, and jumps to the next wake-up once all of its sleepers sleep.

    One sleeper is woken at a time, by (moment, rank, order of going to sleep), so that the same input gives the same run.
    ``pace`` is the speed against real time, ``inf`` for as fast as it goes. Everyone who sleeps has to run inside ``member``.
    """

    def __init__(self, start_ms: int, *, pace: float = inf) -> None:
        self._now = start_ms
        self._pace = pace
        self._members = 0
        self._sleepers: list[tuple[int, int, int, anyio.Event]] = []
        self._order = count()
        self._changed = anyio.Event()

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""
        return self._pace

    def now(self) -> int:
        """Return the moment, UTC epoch ms."""
        return self._now

    async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
        """Wait until the clock shows a moment; of those that wake together, lower ranks go first."""
        woken = anyio.Event()
        sleeper = max(moment_ms, self._now), rank, next(self._order), woken
        heapq.heappush(self._sleepers, sleeper)
        self._changed.set()
        try:
            await woken.wait()
        finally:
            if sleeper in self._sleepers:  # it was cancelled
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    @asynccontextmanager
    async def member(self) -> AsyncIterator[None]:
        """Take part: the clock waits for this task to sleep before it moves."""
        self._members += 1
        try:
            yield
        finally:
            self._members -= 1
            self._changed.set()

    async def run(self, until_ms: int, progress: Callable[[int], None] = lambda _moment: None) -> None:
        """Move the clock until the next wake-up lies behind an end, or nobody takes part any more."""
        while True:
            while not self._members or len(self._sleepers) < self._members:
                self._changed = anyio.Event()
                await self._changed.wait()
            moment, _, _, woken = self._sleepers[0]
            if moment > until_ms:
                return
            heapq.heappop(self._sleepers)
            await self._advance(moment)
            progress(moment)
            woken.set()
            await anyio.lowlevel.checkpoint()

    async def _advance(self, moment: int) -> None:
        if self._pace != inf and moment > self._now:
            await anyio.sleep((moment - self._now) / 1000 / self._pace)
        self._now = moment
