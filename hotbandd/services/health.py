"""Who is alive: what each loop promised last, and whether it kept its word."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

GRACE_SEC = 5.0
LAG_SEC = 5.0  # an event loop that is later than this is not well
LAGS = 60  # measurements that the worst one is taken of: 15 s of them, the usual time between two scrapes


@dataclass
class LoopHealth:
    """One loop: the real moment by which it has to be heard of again, its last success (clock ms), its last fault."""

    heard_by: float
    last_success: int | None = None
    fault: str | None = None


class Health:
    """Heartbeats of the loops and the lag of the event loop, on the real monotonic clock.

    An outside system that is away is no matter of it: a loop that waits for one keeps its word.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lags: deque[float] = deque([0.0], maxlen=LAGS)
        self.loops: dict[str, LoopHealth] = {}
        self.store_up: bool | None = None

    @property
    def lag_sec(self) -> float:
        """By how much the event loop was late when last measured."""
        return self._lags[-1]

    @property
    def worst_lag_sec(self) -> float:
        """By how much it was late at most within the last measurements."""
        return max(self._lags)

    @property
    def alive(self) -> bool:
        """Whether every loop keeps its word, and the event loop its pace."""
        return not self.silent() and self.lag_sec < LAG_SEC

    def lagged(self, seconds: float) -> None:
        """Note by how much the event loop was late."""
        self._lags.append(seconds)

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
