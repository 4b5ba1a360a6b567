"""Tells people who are not looking what changed: one message for all changes of a while, and only from who leads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

import anyio
import structlog

from hotbandd.core.changes import Kind, Seen, between
from hotbandd.errors import CorruptPayloadError, UnreachableError
from hotbandd.ports import Delivery, Notices
from hotbandd.services.context import Context

log = structlog.get_logger()

T = TypeVar("T")

MOST: Final = 100  # changes of one message; of more the oldest are counted only
AGAIN_SEC: Final = 30.0  # after a fault of its own
COMPLAIN_SEC: Final = 600.0  # a receiver that goes on failing is logged so often


@dataclass(frozen=True)
class NotifierRules:
    """Which changes are told, and how often at most; seconds of the real clock.

    ``settle_sec``: how long something has to be amiss, or well again, before that is told.
    """

    kinds: frozenset[Kind]
    every_sec: float
    look_sec: float = 2.0
    settle_sec: float = 90.0


class _News(NamedTuple):
    at: int
    words: str


class Notifier:
    """Looks at what is published, as any reader would, and sends what changed. A standby looks too, and says nothing."""

    def __init__(
        self,
        context: Context,
        notices: Notices,
        rules: NotifierRules,
        troubles: Callable[[], list[str] | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self._context = context
        self._notices = notices
        self._troubles = troubles
        self._monotonic = monotonic
        self._seen: Seen | None = None
        self._amiss_since: tuple[bool, float] | None = None
        self._news: deque[_News] = deque(maxlen=MOST)
        self._left_out = 0
        self._waiting = anyio.Event()
        self._complained: dict[str, float] = {}

    async def run(self) -> None:
        """Look and tell, for ever; what goes wrong in here is logged, and ends nothing."""
        while True:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._send)
                    while True:
                        await self.look()
                        await anyio.sleep(self.rules.look_sec)
            except Exception as error:  # the outermost line of this loop
                self._context.telemetry.loop_failed("notifier", type(error).__name__)
                log.exception("notifier.broken")
            await anyio.sleep(AGAIN_SEC)

    async def look(self) -> None:
        """Look once, and note what changed since the last time."""
        context = self._context
        try:
            found = await self._read()
        except UnreachableError:
            found = Seen()
        found = found._replace(troubles=self._settled())
        before = Seen() if self._seen is None else self._seen
        found = found.over(before)
        first, self._seen = self._seen is None, found
        if first or context.leadership.lease is None:  # kept through an outage of the store, so that this is told
            return
        for change in between(before, found):
            if change.kind in self.rules.kinds:
                self._note(change.words)

    async def _read(self) -> Seen:
        store = self._context.store
        leader = await _readable(store.leader())
        return Seen(
            blob=await _readable(store.gates_blob()),
            status=await _readable(store.allocator_status()),
            engaged=await store.kill_switch() is not False,
            holder=None if leader is None else leader.holder,
        )

    def _settled(self) -> tuple[str, ...] | None:
        """Return what is amiss, once that has held for a while; None before."""
        found = self._troubles()
        if found is None:
            return None
        now = self._monotonic()
        if self._amiss_since is None or self._amiss_since[0] != bool(found):
            self._amiss_since = (bool(found), now)
        told = self._seen.troubles if self._seen is not None else None
        waited = now - self._amiss_since[1] >= self.rules.settle_sec
        if told is None or waited:
            return tuple(found)
        return told

    def _note(self, words: str) -> None:
        self._left_out += len(self._news) == MOST
        self._news.append(_News(self._context.clock.now(), words))
        self._waiting.set()

    async def _send(self) -> None:
        """Send what there is, then be silent for a while, for ever."""
        while True:
            await self._waiting.wait()
            self._waiting = anyio.Event()
            title, body = self._message()
            for delivery in await self._notices.send(title, body):
                self._told(delivery)
            await anyio.sleep(self.rules.every_sec)

    def _message(self) -> tuple[str, str]:
        news, left_out = list(self._news), self._left_out
        self._news.clear()
        self._left_out = 0
        lines = [f"{datetime.fromtimestamp(each.at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC  {each.words}" for each in news]
        if left_out:
            lines.insert(0, f"{left_out} earlier changes did not fit in.")
        title = news[0].words.rstrip(".") if len(news) == 1 else f"{len(news) + left_out} changes"
        return f"hotband: {title}", "\n".join(lines)

    def _told(self, delivery: Delivery) -> None:
        self._context.telemetry.notified("sent" if delivery.fault is None else "failed")
        now, name = self._monotonic(), delivery.receiver
        if delivery.fault is None:
            if self._complained.pop(name, None) is not None:
                log.info("notifier.recovered", receiver=name)
        elif now - self._complained.get(name, -COMPLAIN_SEC) >= COMPLAIN_SEC:
            self._complained[name] = now
            log.warning("notifier.failed", receiver=name, error=delivery.fault)


async def _readable(reading: Awaitable[T | None]) -> T | None:
    """Read a document; one that cannot be read is not known."""
    try:
        return await reading
    except CorruptPayloadError:
        return None
