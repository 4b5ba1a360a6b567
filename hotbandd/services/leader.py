"""Leadership: one daemon publishes, the others stand by."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import structlog

from hotbandd.errors import CorruptPayloadError, FencedError, UnreachableError
from hotbandd.ports import Lease, Outcome, Store, Telemetry
from hotbandd.services.health import Health

log = structlog.get_logger()

ASK_SEC = 0.5  # between two looks at the lease of another one, and at a store that is away
WATCH_SEC = 1.0  # between two looks at a store that answers, at most: what it lost is to be back within 2 s
LATE_SEC = 2.0  # a store that does not answer within this is away
GIVE_UP_SEC = 1.0
BEAT_SEC = 15.0  # one beat at most: three calls of a store that answers late


class Leadership:
    """The lease as this process knows it; the server's script has the last word on every publication."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.lease: Lease | None = None
        self._monotonic = monotonic
        self._known: Lease | None = None
        self._until = math.inf
        self._gained = anyio.Event()
        self._lost = anyio.Event()
        self._news = anyio.Event()
        self._scopes: set[anyio.CancelScope] = set()

    @property
    def leader(self) -> Lease | None:
        """Who leads, this process or another; None where nobody does, or the last word on it is older than a lease's life."""
        return self._known if self._monotonic() < self._until else None

    @property
    def leading(self) -> bool:
        """Whether this process surely leads: by its own clock, its lease has not run out."""
        return self.lease is not None and self.leader == self.lease

    def know(self, leader: Lease | None, until: float = math.inf) -> None:
        """Note who leads, and until when, on the monotonic clock, that is good."""
        self._known, self._until = leader, until

    async def held(self) -> Lease:
        """Wait until this process leads, and return its lease."""
        while self.lease is None:
            await self._gained.wait()
        return self.lease

    async def lost(self) -> None:
        """Wait until this process leads no more."""
        while self.lease is not None:
            await self._lost.wait()

    async def news(self) -> None:
        """Wait until this process leads anew, or the store is back: what failed may go well now."""
        await self._news.wait()

    def tell(self) -> None:
        """Wake those who wait for news."""
        self._news.set()
        self._news = anyio.Event()

    @contextmanager
    def under(self, lease: Lease) -> Iterator[None]:
        """Do something under a lease: it is cancelled, and left in silence, once this process leads under another one."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def gain(self, lease: Lease) -> None:
        """Note that this process leads."""
        if lease != self.lease:
            for scope in self._scopes:
                scope.cancel()
        self.lease = lease
        self.know(lease)
        self._gained.set()
        self._lost = anyio.Event()
        self.tell()

    def lose(self) -> None:
        """Note that this process leads no more."""
        if self.lease is not None:  # told twice, those who wait already go on waiting for the same event
            self.lease = None
            self.know(None)
            self._gained = anyio.Event()
            self._lost.set()

    def accept(self, outcome: Outcome, what: str, lease: Lease) -> None:
        """Take note of what became of a publication under a lease; raise FencedError where that is good no more."""
        if outcome is Outcome.FENCED:
            if self.lease == lease:  # else it was lost before, and there may be a new one
                self.lose()
            raise FencedError(
                f"Another daemon leads, Valkey lost what there was, or an answer of it: {what} was not published, this one stands by."
            )


class Leader:
    """Takes the lease, renews it at a third of its life in real time, every second at least, and gives it up at the end.

    A lease that is another's, or a store that is away, is looked at every half second. What the store lost it is given back before anyone
    publishes under the new lease; after an outage the last documents go out again.
    """

    name = "leader"

    def __init__(
        self, leadership: Leadership, store: Store, telemetry: Telemetry, health: Health, holder: str, ttl_sec: float
    ) -> None:
        self._leadership = leadership
        self._store = store
        self._telemetry = telemetry
        self._health = health
        self._holder = holder
        self._ttl_sec = ttl_sec
        self._highest = 0  # of the epochs that this process has known

    async def run(self) -> None:
        """Hold the lease for ever."""
        leadership = self._leadership
        try:
            while True:
                self._health.working(self.name, max(self._ttl_sec, BEAT_SEC))
                self._report()
                await self._beat()
                self._report()
                holding = leadership.lease is not None and self._health.store_up
                pause = min(self._ttl_sec / 3, WATCH_SEC if holding else ASK_SEC)
                self._health.waiting(self.name, pause)
                with anyio.move_on_after(pause):
                    await (leadership.lost() if holding else anyio.sleep_forever())
        finally:
            await self._give_up()

    async def _beat(self) -> None:
        until = time.monotonic() + self._ttl_sec  # of what is asked now
        back = self._health.store_up is False  # if it answers now
        try:
            await self._hold(int(self._ttl_sec * 1000), back=back)
            leader = self._leadership.lease or await self._store.leader()
        except (UnreachableError, TimeoutError) as error:
            if self._health.store_up is not False:
                log.warning("store.down", error=str(error) or f"no answer within {LATE_SEC:g} s")
            self._note(up=False)
        except CorruptPayloadError as error:  # whoever wrote it may lead
            log.warning("leader.corrupt", error=str(error))
            self._leadership.know(None)
            self._note(up=True)
        else:
            self._highest = max(self._highest, leader.epoch if leader else 0)
            self._leadership.know(leader, until)
            self._note(up=True)
            if back:
                log.info("store.up")
                self._leadership.tell()

    async def _hold(self, ttl_ms: int, *, back: bool) -> None:
        """Renew the lease or take it; give the store back what it lost, and repeat what it has once it is ``back``."""
        lease = self._leadership.lease
        if lease is not None:
            with anyio.fail_after(LATE_SEC):
                renewed = await self._store.renew_lease(lease, ttl_ms)
            if not renewed:
                log.warning("leader.lost", epoch=lease.epoch)
                self._leadership.lose()
        if self._leadership.lease is None:
            with anyio.fail_after(LATE_SEC):
                taken = await self._store.acquire_lease(self._holder, ttl_ms, above=self._highest)
            if taken is not None:
                self._highest = taken.epoch
                await self._give_back(taken, repeat=back)
                log.info("leader.leading", epoch=taken.epoch)
                self._leadership.gain(taken)
        elif back and lease is not None:
            await self._give_back(lease, repeat=True)

    async def _give_back(self, lease: Lease, *, repeat: bool) -> None:
        documents = await self._store.give_back(lease, repeat=repeat)
        if documents:
            log.warning("leader.gave_back", documents=documents, epoch=lease.epoch)

    def _report(self) -> None:
        leader = self._leadership.leader
        self._telemetry.leader(leading=self._leadership.leading, epoch=leader.epoch if leader else None)

    def _note(self, *, up: bool) -> None:
        self._health.store_up = up
        self._telemetry.store_up(up=up)

    async def _give_up(self) -> None:
        """Release the lease, also one that was taken while the answer was no more waited for."""
        lease = self._leadership.lease
        self._leadership.lose()
        with anyio.move_on_after(GIVE_UP_SEC, shield=True):
            try:
                if lease is None:
                    lease = await self._store.leader()
                if lease is not None and lease.holder == self._holder:
                    await self._store.release_lease(lease)
            except (UnreachableError, CorruptPayloadError) as error:
                log.warning("leader.release_failed", error=str(error))
