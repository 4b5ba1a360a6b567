"""Leadership: one daemon publishes, the others stand by."""

from __future__ import annotations

import anyio
import structlog

from hotbandd.errors import CorruptPayloadError, FencedError, UnreachableError
from hotbandd.ports import Lease, Outcome, Store, Telemetry
from hotbandd.services.health import Health

log = structlog.get_logger()


class Leadership:
    """The lease as this process knows it; the server's script has the last word on every publication."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self._gained = anyio.Event()

    async def held(self) -> Lease:
        """Wait until this process leads, and return its lease."""
        while self.lease is None:
            await self._gained.wait()
        return self.lease

    def gain(self, lease: Lease) -> None:
        """Note that this process leads."""
        self.lease = lease
        self._gained.set()

    def lose(self) -> None:
        """Note that this process leads no more."""
        if self.lease is not None:  # told twice, those who wait already go on waiting for the same event
            self.lease = None
            self._gained = anyio.Event()

    def accept(self, outcome: Outcome, what: str) -> None:
        """Take note of what became of a publication; raise FencedError where another one leads."""
        if outcome is Outcome.FENCED:
            self.lose()
            raise FencedError(f"Another daemon leads, so {what} was not published; this one stands by.")


class Leader:
    """Takes the lease, renews it at a third of its life in real time, and gives it up at the end."""

    name = "leader"

    def __init__(
        self, leadership: Leadership, store: Store, telemetry: Telemetry, health: Health, holder: str, ttl_sec: float
    ) -> None:
        self._leadership = leadership
        self._store = store
        self._telemetry = telemetry
        self._health = health
        self._holder = holder
        self._ttl_ms = int(ttl_sec * 1000)

    async def run(self) -> None:
        """Hold the lease for ever."""
        try:
            while True:
                self._health.working(self.name, self._ttl_ms / 1000)
                await self._beat()
                self._telemetry.leader(leading=self._leadership.lease is not None)
                self._health.waiting(self.name, self._ttl_ms / 3000)
                await anyio.sleep(self._ttl_ms / 3000)
        finally:
            await self._give_up()

    async def _beat(self) -> None:
        try:
            lease = self._leadership.lease
            if lease is not None and not await self._store.renew_lease(lease, self._ttl_ms):
                log.warning("leader.lost", epoch=lease.epoch)
                self._leadership.lose()
            if self._leadership.lease is None:
                taken = await self._store.acquire_lease(self._holder, self._ttl_ms)
                if taken is not None:
                    log.info("leader.leading", epoch=taken.epoch)
                    self._leadership.gain(taken)
        except UnreachableError as error:
            if self._health.store_up is not False:
                log.warning("store.down", error=str(error))
            self._note(up=False)
        except CorruptPayloadError as error:  # whoever wrote it may lead
            log.warning("leader.corrupt", error=str(error))
            self._note(up=True)
        else:
            if self._health.store_up is False:
                log.info("store.up")
            self._note(up=True)

    def _note(self, *, up: bool) -> None:
        self._health.store_up = up
        self._telemetry.store_up(up=up)

    async def _give_up(self) -> None:
        lease = self._leadership.lease
        if lease is None:
            return
        self._leadership.lose()
        with anyio.move_on_after(1, shield=True):
            try:
                await self._store.release_lease(lease)
            except UnreachableError as error:
                log.warning("leader.release_failed", error=str(error))
