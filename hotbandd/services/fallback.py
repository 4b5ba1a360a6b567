"""Compute elsewhere while that can be had, else here: loops do not stop because other machines do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Concatenate, Final, Generic, ParamSpec, TypeVar

import anyio
import structlog

from hotbandd.errors import ComputeUnreachableError, ComputeVersionsError
from hotbandd.ports import Compute, RemoteCompute, Shared, Telemetry, Where
from hotbandd.services.health import Health

log = structlog.get_logger()

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

LOOK_SEC: Final = 1.0
CONNECTING_SEC: Final = 60.0  # an attempt to connect at most
PATIENCE_SEC: Final = 30.0  # a call takes a second; one that takes so long has met a worker that hangs
AVOID_SEC: Final = 120.0


class Fallback:
    """Runs functions on remote workers, and on local ones while those cannot be had; ``watch`` goes back to them once they can."""

    def __init__(
        self, remote: RemoteCompute, local: Compute, telemetry: Telemetry, patience_sec: float = PATIENCE_SEC
    ) -> None:
        self._remote = remote
        self._local = local
        self._telemetry = telemetry
        self._patience_sec = patience_sec
        self._places = anyio.CapacityLimiter(1)
        self._connected = False
        self._fault: str | None = None
        self._avoided_until = 0.0

    @property
    def where(self) -> Where:
        """Where the next call runs."""
        return self._remote.where if self._connected else Where(self._local.where.name, self._fault)

    @property
    def width(self) -> int:
        """How many calls run side by side."""
        return (self._remote if self._connected else self._local).width

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function; here where it cannot run there."""

        async def call(compute: Compute) -> T:
            return await compute.run(function, *args, **kwargs)

        return await self.either(call)

    @asynccontextmanager
    async def share(self, value: S) -> AsyncIterator[_Shared[S]]:
        """Hold a value ready, wherever it is needed."""
        async with AsyncExitStack() as stack:
            yield _Shared(self, value, stack)

    async def either(self, call: Callable[[Compute], Awaitable[T]]) -> T:
        """Make a call there, else here."""
        if self._connected:
            try:
                async with self._places:  # so that nobody's patience ends for the others before him
                    with anyio.fail_after(self._patience_sec):
                        return await call(self._remote)
            except (ComputeUnreachableError, ComputeVersionsError) as error:
                self._stay(str(error))
            except TimeoutError:
                self._avoided_until = time.monotonic() + AVOID_SEC
                self._stay(f"{self._remote.where.name} did not answer a call within {self._patience_sec:g} s.")
        return await call(self._local)

    async def watch(self, health: Health) -> None:
        """Connect, and connect again, for ever."""
        while True:
            health.waiting("compute", CONNECTING_SEC)
            if self._connected and self._remote.where.fault:
                self._stay(self._remote.where.fault)
            if time.monotonic() >= self._avoided_until:
                try:
                    await self._remote.connect()
                except (ComputeUnreachableError, ComputeVersionsError) as error:
                    self._stay(str(error))
                else:
                    self._go()
            await anyio.sleep(LOOK_SEC)

    async def aclose(self) -> None:
        """Leave the remote workers, and stop the local ones."""
        try:
            await self._remote.aclose()
        finally:
            await self._local.aclose()

    def _stay(self, fault: str) -> None:
        if self._connected or self._fault is None:
            log.warning("compute.fallback", where=self._local.where.name, error=fault)
        self._connected, self._fault = False, fault
        self._telemetry.compute(fallback=True)

    def _go(self) -> None:
        self._places.total_tokens = 2 * self._remote.width  # one at work, and one that waits at its door
        if not self._connected:
            log.info("compute.remote", where=self._remote.where.name, width=self._remote.width)
        self._connected, self._fault = True, None
        self._telemetry.compute(fallback=False)


class _Shared(Generic[S]):
    """The Shared port: a value that is shared wherever a call needs it."""

    def __init__(self, compute: Fallback, value: S, stack: AsyncExitStack) -> None:
        self._compute = compute
        self._value = value
        self._stack = stack
        self._held: dict[int, Shared[S]] = {}

    async def run(self, function: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the value."""

        async def call(compute: Compute) -> T:
            if id(compute) not in self._held:
                self._held[id(compute)] = await self._stack.enter_async_context(compute.share(self._value))
            return await self._held[id(compute)].run(function, *args, **kwargs)

        return await self._compute.either(call)
