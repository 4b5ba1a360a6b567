"""One server behind all daemons, and what can happen to it: the real memory backend, reached over connections that fail."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.memory import MemoryBackend, SortedSet
from hotbandd.errors import CorruptPayloadError, StoreUnreachableError
from tests.simulation.virtual_loop import LOOP

if TYPE_CHECKING:
    from tests.simulation.daemons import Daemon
    from tests.simulation.observer import Observer


@dataclass
class Faults:
    """What is wrong with the server, each until a moment (UTC epoch ms)."""

    away: int = 0
    hangs: int = 0
    slow: int = 0
    flaky: int = 0
    wrong_type: dict[str, int] = field(default_factory=dict)
    dying: int = (
        0  # goes away for so long (ms) once a publication of the gates or weights is done, whose answer is lost
    )
    deaf_to: dict[str, int] = field(default_factory=dict)  # the loops whose calls do not come through
    failing: dict[int, str] = field(default_factory=dict)  # the n-th call from now on: before it is done, or after


class Server:
    """A server with its state; ``now`` is its clock."""

    def __init__(self, now: Callable[[], int], observer: Observer, draw: random.Random) -> None:
        self.now = now
        self.faults = Faults()
        self.inner = MemoryBackend(now)
        self.observer = observer
        self.draw = draw
        self.calls = 0
        self.restored = 0  # when its state was last another one than what had been written

    # ---- what its host does to it

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of its state."""
        state = self.inner.__dict__.copy()
        return {name: copy.copy(value) for name, value in state.items()} | _own(state)

    def restart(self, state: dict[str, Any] | None) -> None:
        """Start it anew, with an earlier state, or with none."""
        self.inner = MemoryBackend(self.now)
        if state is not None:
            self.inner.__dict__.update(state | _own(state))
        self.restored = self.now()
        self.observer.restarted(self)

    def heal(self) -> None:
        """End all faults."""
        self.faults = Faults()

    # ---- what its clients ask of it

    async def call(self, client: Daemon, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do one call for a client, as far as the faults let it."""
        self.calls += 1
        await client.calls(name)
        before = self.faults.failing.pop(self.calls, None)
        await self._delay()
        client.must_live()
        now = self.now()
        if (
            before == "before"
            or max(self.faults.away, client.cut_off, self.faults.deaf_to.get(LOOP.get(), 0)) > now
            or self._stumbles()
        ):
            if self.faults.hangs > now:
                await anyio.sleep(self.draw.uniform(2, 10))
            raise StoreUnreachableError(f"{name}: nobody answers")
        answer = await self._done(client, name, args, kwargs)
        if self.faults.dying and name == "publish" and args[0].fence and args[0].fence.document in ("gates", "weights"):
            before, self.faults.away, self.faults.dying = "after", now + self.faults.dying, 0
            self.faults.hangs = self.faults.away
        if before == "after" or self._stumbles():
            raise StoreUnreachableError(f"{name}: the answer was lost")
        if self.faults.slow > now:
            await self._delay()
            client.must_live()
        return answer

    async def _done(self, client: Daemon, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            if self.faults.wrong_type:
                self._check_type(name, args)
            answer = await getattr(self.inner, name)(*args, **kwargs)
        except CorruptPayloadError:
            self.observer.called(client, name, args, None)
            raise
        self.observer.called(client, name, args, answer)
        return answer

    def _check_type(self, name: str, args: tuple[Any, ...]) -> None:
        touched = [args[0]] if name in ("get", "put", "trim", "range", "newest") else []
        if name == "publish":
            touched = [command[0] for command in args[0].commands if type(command).__name__ in ("PutMember", "Trim")]
        for key in touched:
            if self.faults.wrong_type.get(key, 0) > self.now():
                raise CorruptPayloadError(key, "another type of key")

    async def _delay(self) -> None:
        if self.faults.slow > self.now():
            await anyio.sleep(self.draw.expovariate(2.0))
        elif self.draw.random() < 0.02:
            await anyio.sleep(self.draw.uniform(0.0005, 0.05))

    def _stumbles(self) -> bool:
        return self.faults.flaky > self.now() and self.draw.random() < 0.15


def _own(state: dict[str, Any]) -> dict[str, Any]:
    """Return copies of the collections of a state."""
    sets = {key: _copied(found) for key, found in state["_sets"].items()}
    return {"_sets": sets, "_hashes": {key: dict(days) for key, days in state["_hashes"].items()}}


def _copied(found: SortedSet) -> SortedSet:
    other = SortedSet()
    other._members, other._scores, other._sorted = dict(found._members), list(found._scores), found._sorted
    return other


class Connection:
    """The Backend port, as one daemon has it: every call goes by the faults of the server."""

    def __init__(self, server: Server, client: Daemon) -> None:
        self._server = server
        self._client = client

    def __getattr__(self, name: str) -> Any:
        if name == "subscribe":
            return self._server.inner.subscribe

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._server.call(self._client, name, args, kwargs)

        return call


def foreign_values(draw: random.Random) -> bytes:
    """Return something that hotband writes nowhere."""
    return draw.choice(
        [
            b"",
            b"\xff\xfe garbage",
            b"null",
            b"[]",
            b"{",
            b'{"schema":2,"ts":1}',
            b'"text"',
            b"NaN",
            b'{"schema":"1"}',
            b"-1",
        ]
    )


CORRUPTIBLE = (keys.GATES_BLOB, keys.WEIGHTS, keys.ALLOCATOR_STATUS, keys.KILL_SWITCH)
