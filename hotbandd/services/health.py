"""Who is alive: what each loop promised last, and whether it kept its word."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

GRACE_SEC = 5.0


@dataclass
class LoopHealth:
    """One loop: the real moment by which it has to be heard of again, its last success (clock ms), its last fault."""

    heard_by: float
    last_success: int | None = None
    fault: str | None = None


class Health:
    """Heartbeats of the loops and the lag of the event loop, on the real monotonic clock."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.loops: dict[str, LoopHealth] = {}
        self.store_up: bool | None = None
        self.lag_sec = 0.0

    def waiting(self, loop: str, seconds: float) -> None:
        """Note that a loop sleeps, and for how long at most."""
        self._promise(loop, seconds)

    def working(self, loop: str, deadline_sec: float) -> None:
        """Note that a loop works, and how long it may."""
        self._promise(loop, deadline_sec)

    def succeeded(self, loop: str, at_ms: int) -> None:
        """Note a step that ended well."""
        state = self._of(loop)
        state.last_success, state.fault = at_ms, None

    def failed(self, loop: str, fault: str) -> None:
        """Note a step that failed."""
        self._of(loop).fault = fault

    def silent(self) -> list[str]:
        """Return the loops that did not keep their word."""
        now = self._monotonic()
        return [name for name, state in self.loops.items() if now > state.heard_by]

    def _of(self, loop: str) -> LoopHealth:
        return self.loops.setdefault(loop, LoopHealth(self._monotonic() + GRACE_SEC))

    def _promise(self, loop: str, seconds: float) -> None:
        self._of(loop).heard_by = self._monotonic() + max(0.0, seconds) + GRACE_SEC
