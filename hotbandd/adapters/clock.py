"""Clocks: the real one without its jumps, one that runs fast, and a virtual one that jumps from event to event."""

from __future__ import annotations

import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from math import inf

import anyio

SLOWEST, FASTEST = (
    2 / 3,
    4.0,
)  # while it meets the wall clock again; so slow that gates still come before they are too old
LOOK_SEC = 1.0  # the longest sleep: timers stand still while the machine is suspended, and know of no correction
_NS = 1_000_000_000


class WallClock:
    """UTC by the wall clock, without its jumps: no moment is passed over, and none comes twice.

    It is carried on by a clock that nobody sets and that counts while the machine is suspended. Where the wall clock shows another
    time, it runs up to FASTEST times as fast, or down to SLOWEST, until both show the same: an hour that is missing is made up for in
    20 minutes, an hour too many in three hours.
    """

    speed = 1.0
    slowest = SLOWEST

    def __init__(self, wall: Callable[[], int] | None = None, elapsed: Callable[[], int] | None = None) -> None:
        self._wall = wall or time.time_ns
        self._elapsed = elapsed or _elapsed
        self._seen = self._elapsed()
        self._shown = self._wall()
        self._behind = 0

    @property
    def behind_sec(self) -> float:
        """By how much the wall clock is ahead, as of the last look at both."""
        return self._behind / _NS

    def now(self) -> int:
        """Return the moment, UTC epoch ms."""
        elapsed = self._elapsed()
        passed, self._seen = elapsed - self._seen, elapsed
        behind = self._wall() - self._shown - passed
        correction = min(max(behind, -int(passed * (1 - SLOWEST))), int(passed * (FASTEST - 1)))
        self._shown += passed + correction
        self._behind = behind - correction
        return self._shown // 1_000_000

    async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
        """Wait until the clock shows a moment; the order of those that wake together is not kept."""
        del rank
        while (left := moment_ms - self.now()) > 0:  # noqa: ASYNC110  time is what it waits for
            await anyio.sleep(min(left / 1000, LOOK_SEC) / (FASTEST if self._behind > 0 else 1.0))


def _elapsed() -> int:
    """Return nanoseconds since some moment, those included in which the machine was suspended."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """A time of its own, carried on by the monotonic clock at a speed; the wall clock's jumps do not reach it.

    ``anchor_virtual`` is what the clock shows at its start, UTC epoch ms.
    """

    def __init__(self, *, speed: float = 1.0, anchor_virtual: int) -> None:
        self.anchor_wall = time.time_ns() // 1_000_000
        self.anchor_virtual = anchor_virtual
        self._anchor = time.monotonic()
        self._speed = speed

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""
        return self._speed

    slowest = speed

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

    slowest = speed

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
