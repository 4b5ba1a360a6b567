"""What a long loop is, and how it runs: sleep until due, step, report; retry while the outside is away."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

import anyio
import structlog

from hotbandd.errors import FencedError, InputError, UnreachableError
from hotbandd.ports import Clock, Lease, Telemetry
from hotbandd.services.health import Health
from hotbandd.services.leader import Leadership

log = structlog.get_logger()

STANDBY_SEC = 2.0
RETRY_FIRST_SEC = 0.25
RETRY_LAST_SEC = 2.0


class Due(NamedTuple):
    """The next step of a loop: the moment that it decides on, and when it runs; UTC epoch ms."""

    moment: int
    wake: int
    stepping: bool = True


class Loop(Protocol):
    """A long loop of the daemon. ``rank`` orders the steps of one moment; ``deadline_sec`` bounds one step in real time."""

    name: str
    rank: int
    deadline_sec: float

    def first_after(self, now_ms: int) -> int:
        """Return the moment after which, at a start, the first step is due."""
        ...

    def next_due(self, now_ms: int) -> Due:
        """Return the first step that is due after a moment."""
        ...

    async def step(self, due: Due) -> None:
        """Do one step; idempotent for the same due."""
        ...


class LoopRunner:
    """Runs a loop on its schedule, without drift: a step that takes too long costs the ones that it covers, no more."""

    def __init__(self, clock: Clock, telemetry: Telemetry, health: Health, leadership: Leadership) -> None:
        self._clock = clock
        self._leadership = leadership
        self._telemetry = telemetry
        self._health = health

    async def run(self, loop: Loop) -> None:
        """Run a loop until it is cancelled or fails by more than the outside being away."""
        while True:
            lease = await self._lead(loop)
            after = loop.first_after(self._clock.now())
            while self._leadership.lease == lease:
                with self._leadership.under(lease):  # what is to be done first under a new one is due at once
                    after = await self._next(loop, after, lease)

    async def _next(self, loop: Loop, after: int, lease: Lease) -> int:
        """Sleep until the next step after a moment is due, and do it; return the moment from which the one after that counts."""
        due = await self._due(loop, after)
        # Later than the step after it, as when the machine was suspended meanwhile: the newest counts.
        if self._clock.now() >= loop.next_due(due.wake).wake:
            due = await self._due(loop, max(due.wake, loop.first_after(self._clock.now())))
        await self._step(loop, due, lease)
        return max(due.wake, self._clock.now())

    async def _due(self, loop: Loop, after: int) -> Due:
        due = loop.next_due(after)
        self._health.waiting(loop.name, (due.wake - self._clock.now()) / 1000 / self._clock.slowest)
        await self._clock.sleep_until(due.wake, rank=loop.rank)
        return due

    async def _lead(self, loop: Loop) -> Lease:
        """Stand by until this process leads."""
        while self._leadership.lease is None:
            self._health.waiting(loop.name, STANDBY_SEC)
            with anyio.move_on_after(STANDBY_SEC):
                await self._leadership.held()
        return self._leadership.lease

    async def _step(self, loop: Loop, due: Due, lease: Lease) -> None:
        """Do one step; while an outside system is away, try again until the next one is due. Without the lease, do nothing."""
        pause = RETRY_FIRST_SEC
        while self._leadership.lease == lease:
            began = time.monotonic()
            self._health.working(loop.name, loop.deadline_sec)
            try:
                with anyio.fail_after(loop.deadline_sec):
                    await loop.step(due)
            except (UnreachableError, FencedError, InputError) as error:
                reason = type(error).__name__
                self._telemetry.loop_failed(loop.name, reason)
                self._health.failed(loop.name, str(error))
                log.warning("loop.retry", loop=loop.name, reason=reason, error=str(error), moment=due.moment)
                if isinstance(error, FencedError) or self._clock.now() >= loop.next_due(due.wake).wake:
                    return
                self._health.waiting(loop.name, pause)
                with anyio.move_on_after(pause):
                    await self._leadership.news()
                pause = min(2 * pause, RETRY_LAST_SEC)
            else:
                seconds = time.monotonic() - began
                self._telemetry.loop_succeeded(loop.name, self._clock.now(), seconds)
                self._health.succeeded(loop.name, self._clock.now())
                return
