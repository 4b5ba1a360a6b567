"""One daemon: the real services, wired as ``hotbandd.daemon`` wires them, and what can be done to its process."""

from __future__ import annotations

import contextvars
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from hotbandd import daemon, parts
from hotbandd.adapters.clock import SteadyClock
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.core.live_params import Overlays
from hotbandd.errors import ComputeError, HotbandError, ParamsError, StoreUnreachableError, first_of
from hotbandd.services.leader import Leader
from hotbandd.services.loop import Loop, LoopRunner
from hotbandd.services.supervisor import supervise
from hotbandd.settings import Settings
from tests.simulation.server import Connection
from tests.simulation.virtual_loop import LOOP, PROCESS, Process, VirtualLoop

if TYPE_CHECKING:
    from tests.simulation.world import World

HYDRATOR_SEC = 1800.0  # the hydrator's interval: as the allocator's, so that a month fits into seconds


class Silent:
    """A telemetry that keeps nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: None


class LiveParams:
    """The file of promoted parameters, shared by all daemons."""

    def __init__(self) -> None:
        self.overlays: Overlays = {}
        self.broken = False

    async def read(self) -> Overlays:
        """Return what it says."""
        if self.broken:
            raise ParamsError(("instruments",), "is no mapping")
        return self.overlays


class Compute:
    """The pool: runs functions where they are called, or loses them."""

    width = 2

    def __init__(self) -> None:
        self.failing_until = 0.0

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function."""
        await anyio.lowlevel.checkpoint()
        if anyio.current_time() < self.failing_until:
            raise ComputeError("the worker died twice")
        return function(*args, **kwargs)

    async def aclose(self) -> None:
        """Hold nothing."""


class Daemon(Process):
    """A daemon, from its start to its end; one that was killed can do nothing more to the outside."""

    def __init__(self, world: World, name: str, *, skew_ms: int = 0) -> None:
        super().__init__()
        self.world = world
        self.name = name
        self.skew_ms = skew_ms
        self.settings: Settings = world.settings
        self.former: Settings = world.settings
        self.reconfigured = 0
        self.cut_off = 0  # until when the server cannot be reached from here
        self.dead = False
        self.terminated: int | None = None  # the loop's turn
        self.ended = anyio.Event()
        self.late_until = 0.0  # after it was stopped its loops may be late
        self.at_call: tuple[int, str, float] | None = None  # countdown, what then, for how long
        self.desk: daemon.Desk | None = None
        self.scope = anyio.CancelScope()
        self.clock = SteadyClock(anchor_virtual=world.now() + skew_ms)

    # ---- what is done to it

    def kill(self) -> None:
        """End it at once: nothing that it still does reaches the outside."""
        self.dead = True
        if self.stopped:
            self.loop.go_on(self)
        self.scope.cancel()

    def terminate(self) -> None:
        """End it as SIGTERM does."""
        self.terminated = self.loop.turns
        own = (
            contextvars.copy_context()
        )  # so that what goes on with it stops with the process, and does not keep time from passing
        own.run(PROCESS.set, self)
        own.run(self.scope.cancel)

    def stop(self, seconds: float) -> None:
        """Stop it for a while, as SIGSTOP and SIGCONT do."""
        self.stopped = True
        self.loop.call_later(seconds, self._go_on, context=self.world.outside)

    def _go_on(self) -> None:
        self.late_until = anyio.current_time() + 120
        if self.stopped:
            self.loop.go_on(self)

    def reconfigure(self, settings: Settings) -> None:
        """Have it read its settings again."""
        if self.desk is not None:
            self.former, self.settings, self.reconfigured = self.settings, settings, self.world.now()
            self.desk.reconfigure(settings)
            self._hasten(self.desk)

    # ---- what the server sees of it

    async def calls(self, name: str) -> None:
        """Come by before each call: here it may be stopped or ended in the midst of things."""
        self.must_live()
        self.world.observer.asked(self, name)
        if self.at_call is not None:
            left, what, seconds = self.at_call
            self.at_call = (left - 1, what, seconds) if left else None
            if not left:
                {"kill": self.kill, "terminate": self.terminate, "stop": lambda: self.stop(seconds)}[what]()
                await anyio.lowlevel.checkpoint()

    def must_live(self) -> None:
        """Let nothing out of a process that was killed."""
        if self.dead:
            raise StoreUnreachableError("this process was killed")

    # ---- its life

    @property
    def loop(self) -> VirtualLoop:
        """The event loop of all."""
        return self.world.loop

    @property
    def late(self) -> bool:
        """Whether it was stopped a short while ago, so that what it knows may be old."""
        return anyio.current_time() < self.late_until

    @property
    def alive(self) -> bool:
        """Whether it is there, though it may be stopped."""
        return not self.ended.is_set()

    async def run(self) -> None:
        """Run until it ends."""
        PROCESS.set(self)
        try:
            with self.scope:
                await self._run()
        except* HotbandError as group:
            self._explained(group)  # its supervisor starts it anew
        finally:
            self.ended.set()

    def _explained(self, group: BaseExceptionGroup[HotbandError]) -> None:
        """Check that it ended for a reason that it names."""
        for error in group.exceptions:
            if isinstance(error, BaseExceptionGroup):
                self._explained(error)
            elif not (
                error.__cause__ is None or isinstance(error.__cause__, TimeoutError) or first_of(error.__cause__)
            ):
                self.world.observer.fail(f"{self.name} ended by {error}")

    async def _run(self) -> None:
        world = self.world
        settings = self.settings = self.former = world.settings
        telemetry: Any = Silent()
        store = DocumentStore(Connection(world.server, self), parts.ages(settings))
        await store.ping()
        await store.init_kill_switch(engaged=True)
        outside = daemon.Outside(store, world.source, world.compute, self.clock, telemetry, world.live_params)
        built = self.desk = daemon.desk(settings, outside)
        self._hasten(built)
        monotonic = self.loop.time  # not bound at import, as the defaults are
        built.health._monotonic = built.context.leadership._monotonic = monotonic
        leader = Leader(built.context.leadership, store, telemetry, built.health, self.name, settings.lease_ttl_sec)
        runner = LoopRunner(self.clock, telemetry, built.health, built.context.leadership)

        async def loop(one: Loop) -> None:
            if one is not built.hydrator:
                await daemon._loaded(built, one.name)
            await runner.run(one)

        async def root(name: str, run: Any) -> None:
            LOOP.set(name)
            await supervise(name, run, telemetry, built.health, monotonic=monotonic)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(root, "leader", leader.run)
            for one in built.loops:
                tasks.start_soon(root, one.name, lambda one=one: loop(one))

    def _hasten(self, built: daemon.Desk) -> None:
        """Have candles taken in as seldom as slots come, and only what decisions read published, unless the seed has it otherwise."""
        if self.world.fast:
            built.hydrator.rules = replace(built.hydrator.rules, interval_sec=HYDRATOR_SEC, for_readers=False)


def holder(draw: random.Random, count: int) -> str:
    """Return the name of a new process."""
    return f"host-{count}-{draw.randrange(10**6)}"
