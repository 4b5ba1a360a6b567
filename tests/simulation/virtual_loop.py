"""An event loop whose time jumps to the next timer, and in which whole processes can be stopped.

Everything that waits, waits in this time: sleeps, deadlines, leases. (``VirtualClock`` will not do here: it stands still while a loop
tries again, which is what loops do in an outage.) Who belongs to a process runs in a context in which ``PROCESS`` names it; while it is
stopped none of its callbacks runs, as after SIGSTOP, and when it goes on they are all late.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)
LOOP: ContextVar[str] = ContextVar("LOOP", default="")  # the name of the daemon's loop that runs


class Process:
    """What can be stopped, and go on."""

    def __init__(self) -> None:
        self.stopped = False
        self.held: deque[asyncio.Handle] = deque()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, then jumps; raises RuntimeError where nothing will ever happen again."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self._moment = 0.0
        self.turns = 0  # so far; in one turn whatever is ready runs, and what that makes ready runs in the next

    def time(self) -> float:
        """Return the seconds since the loop began."""
        return self._moment

    def go_on(self, process: Process) -> None:
        """Let a stopped process run again."""
        process.stopped = False
        self._ready.extend(process.held)  # type: ignore[attr-defined]
        process.held.clear()

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise RuntimeError("everybody waits for something that never happens")
            self._moment = max(self._moment, scheduled[0]._when)
        while scheduled and (scheduled[0]._when <= self._moment or scheduled[0]._cancelled):
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        self.turns += 1
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is not None and process.stopped:
                process.held.append(handle)
            else:
                handle._run()


@contextmanager
def virtual_time() -> Iterator[dict[str, Any]]:
    """Give the backend options of an event loop of its own, whose time ``time.monotonic`` tells meanwhile."""
    loops: list[VirtualLoop] = []

    def new_loop() -> VirtualLoop:
        loops.append(VirtualLoop())
        return loops[-1]

    def monotonic() -> float:
        return loops[-1].time() if loops else 0.0

    real, time.monotonic = time.monotonic, monotonic
    try:
        yield {"loop_factory": new_loop}
    finally:
        time.monotonic = real
