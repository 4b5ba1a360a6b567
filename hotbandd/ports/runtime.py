"""The time that decisions see, and where kernels run."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """The time that decisions see; every age is judged by it."""

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""
        ...

    @property
    def slowest(self) -> float:
        """The least that ``speed`` may come down to, while the clock waits for the wall clock."""
        ...

    def now(self) -> int:
        """Return the moment, UTC epoch ms. Never goes backwards, whatever the wall clock does."""
        ...

    async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
        """Wait until the clock shows a moment; a virtual clock wakes those of one moment in the order of their ranks."""
        ...


class FollowingClock(Clock, Protocol):
    """A clock that follows the wall clock, however that is set."""

    @property
    def behind_sec(self) -> float:
        """By how much the wall clock is ahead, as of the last look at both."""
        ...


class Compute(Protocol):
    """Where kernels run, away from the event loop."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module-level pure function; a killed worker costs one retry, a second one raises ComputeError."""
        ...

    async def aclose(self) -> None:
        """Stop the workers."""
        ...
