"""The time that decisions see, and where kernels run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
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


class Where(NamedTuple):
    """Where kernels run, as the setting has it; ``fault``: why not where they should."""

    name: str
    fault: str | None


class Shared(Protocol[S_co]):
    """A value that many calls work on."""

    async def run(self, function: Callable[Concatenate[S_co, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the value, which comes before its arguments, as ``Compute.run`` does."""
        ...


class Compute(Protocol):
    """Where kernels run, away from the event loop. What they return does not depend on where that is.

    Raises what a function raises; ComputeError where a function kills its worker again and again, or where workers would return
    something else; ComputeUnreachableError where there are no workers to be had. Cancelled, a call that waits for a worker never runs.
    """

    @property
    def where(self) -> Where:
        """Where the next call runs."""
        ...

    @property
    def width(self) -> int:
        """How many calls run side by side, as far as that is known."""
        ...

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module-level pure function; one whose worker is killed runs once more, at least."""
        ...

    def share(self, value: S) -> AbstractAsyncContextManager[Shared[S]]:
        """Hold a value ready for many calls: it travels once per machine, not once per call."""
        ...

    async def aclose(self) -> None:
        """Stop the workers, or leave them."""
        ...


class RemoteCompute(Compute, Protocol):
    """Workers that may be out of reach."""

    async def connect(self) -> None:
        """Connect, unless there is a connection. Raises ComputeUnreachableError, or ComputeVersionsError, within half a minute."""
        ...
