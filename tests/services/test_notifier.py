"""Who is told what, and how often: over a real store in memory of the same contract, and receivers that note what they hear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from hotbandd.core.changes import Kind
from hotbandd.core.documents import GatesBlob
from hotbandd.ports import Delivery, Evaluation
from hotbandd.services.notifier import COMPLAIN_SEC, MOST, Notifier, NotifierRules
from tests.adapters import store_samples as samples
from tests.services.scenes import NOW, HandClock, ScriptedSource, ShakyStore, desk_of, recorded, settings_of, store_of

ALL = frozenset(Kind)


class Heard:
    """Receivers in one: what they were sent, and what becomes of it."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.fault: str | None = None
        self.hold: anyio.Event | None = None

    async def send(self, title: str, body: str) -> list[Delivery]:
        self.messages.append((title, body))
        if self.hold is not None:
            await self.hold.wait()
        return [Delivery("1 (JSON)", self.fault)]


class Scene:
    """A daemon's notifier, its store, its receivers, and a monotonic clock that is moved by hand."""

    async def start(self, kinds: frozenset[Kind] = ALL, every_sec: float = 0.0) -> Scene:
        settings = settings_of()
        self.clock = HandClock(NOW)
        self.store = ShakyStore(store_of(settings, self.clock))
        self.desk = await desk_of(settings, self.clock, self.store, ScriptedSource({}))
        self.lease = self.desk.context.leadership.lease
        assert self.lease is not None
        self.heard = Heard()
        self.amiss: list[str] | None = []
        self.second = 0.0
        self.seq = 0
        rules = NotifierRules(kinds, every_sec)
        self.notifier = Notifier(self.desk.context, self.heard, rules, lambda: self.amiss, lambda: self.second)
        await self.store.set_kill_switch(engaged=False)
        await self.publish(gates={"EUR_USD": 0})
        await self.notifier.look()
        return self

    async def publish(self, gates: dict[str, int], *, held: bool = False) -> None:
        self.seq += 1
        epoch = self.desk.context.leadership.lease.epoch
        blob: GatesBlob = replace(samples.blob(NOW, epoch, self.seq), gates=gates, reasons={})
        await self.store.publish_evaluation(self.lease, Evaluation(blob, {}, {}, {}))
        status = replace(samples.status(NOW, epoch, self.seq), held=held, reason="gates_stale")
        await self.store.publish_allocation(self.lease, None, status)

    async def told(self) -> list[str]:
        """Send what is waiting, and return the lines of all messages."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.notifier._send)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        return [line.partition("  ")[2] for _, body in self.heard.messages for line in body.splitlines()]


async def test_nothing_is_told_of_how_things_are_at_the_start():
    scene = await Scene().start()
    await scene.notifier.look()
    assert await scene.told() == []


async def test_all_changes_of_a_while_come_as_one_message_with_their_moments():
    scene = await Scene().start()
    await scene.publish({"EUR_USD": 1, "USD_JPY": 1}, held=True)
    await scene.store.set_kill_switch(engaged=True)
    await scene.notifier.look()
    assert await scene.told() == [
        "EUR_USD opened.",
        "USD_JPY opened.",
        "The allocator holds the weights as they are: the gates are too old.",
        "The kill switch is engaged: no weight rises.",
    ]
    ((title, body),) = scene.heard.messages
    assert title == "hotband: 4 changes"
    assert body.startswith("2024-06-19 12:30:00 UTC  ")


async def test_one_change_is_the_title_itself():
    scene = await Scene().start()
    await scene.publish({"EUR_USD": 1})
    await scene.notifier.look()
    await scene.told()
    assert scene.heard.messages[0][0] == "hotband: EUR_USD opened"


@pytest.mark.parametrize("kind", list(Kind))
async def test_only_the_kinds_asked_for_are_told(kind):
    scene = await Scene().start(kinds=frozenset({kind}))
    await scene.publish({"EUR_USD": 1}, held=True)
    await scene.store.set_kill_switch(engaged=True)
    scene.amiss = ["no fresh candle of EUR_USD"]
    await scene.notifier.look()
    scene.second += 100
    await scene.notifier.look()
    lines = await scene.told()
    assert len(lines) == (0 if kind is Kind.LEADER else 1)


async def test_who_stands_by_says_nothing_and_does_not_repeat_it_after_a_take_over():
    scene = await Scene().start()
    leadership = scene.desk.context.leadership
    await scene.store.release_lease(scene.lease)
    scene.lease = await scene.store.acquire_lease("other", 10_000)
    leadership.lose()
    await scene.store.set_kill_switch(engaged=True)
    await scene.notifier.look()
    assert await scene.told() == []
    await scene.store.release_lease(scene.lease)
    leadership.gain(await scene.store.acquire_lease("test", 10_000))
    await scene.notifier.look()
    assert await scene.told() == ["test leads now; before it other did."]


async def test_trouble_is_told_once_it_has_lasted_and_its_end_likewise():
    scene = await Scene().start()
    scene.amiss = ["no fresh candle of EUR_USD"]
    await scene.notifier.look()
    scene.second += 60
    await scene.notifier.look()
    scene.amiss = []
    await scene.notifier.look()
    assert await scene.told() == []
    scene.amiss = ["no fresh candle of EUR_USD"]
    await scene.notifier.look()
    scene.second += 91
    await scene.notifier.look()
    scene.amiss = []
    await scene.notifier.look()
    scene.second += 91
    await scene.notifier.look()
    assert await scene.told() == ["Unhealthy: no fresh candle of EUR_USD.", "Healthy again."]


async def test_a_store_that_is_away_or_an_expired_blob_is_no_change_of_gates():
    scene = await Scene().start()
    await scene.publish({"EUR_USD": 1})
    await scene.notifier.look()
    scene.store.away = True
    await scene.notifier.look()
    scene.store.away = False
    await scene.notifier.look()
    assert await scene.told() == ["EUR_USD opened."]


async def test_what_does_not_fit_is_counted_and_memory_is_bounded():
    scene = await Scene().start()
    for number in range(MOST + 20):
        await scene.publish({"EUR_USD": (number + 1) % 2})
        await scene.notifier.look()
    lines = await scene.told()
    assert len(lines) == MOST + 1
    assert scene.heard.messages[0][1].startswith("20 earlier changes did not fit in.")


async def test_messages_keep_their_distance_and_a_slow_receiver_does_not_stop_the_looking():
    scene = await Scene().start(every_sec=3600.0)
    scene.heard.hold = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(scene.notifier._send)
        await scene.publish({"EUR_USD": 1})
        await scene.notifier.look()
        await anyio.wait_all_tasks_blocked()
        await scene.publish({"EUR_USD": 0})
        await scene.notifier.look()
        scene.heard.hold.set()
        await anyio.wait_all_tasks_blocked()
        assert len(scene.heard.messages) == 1
        group.cancel_scope.cancel()


async def test_failures_are_counted_and_logged_once_in_a_while(capsys):
    scene = await Scene().start()
    said: list[str] = []

    async def again(fault: str | None) -> None:
        scene.heard.fault = fault
        await scene.publish({"EUR_USD": scene.seq % 2})
        await scene.notifier.look()
        await scene.told()
        said.append(capsys.readouterr().out)

    for fault in ("it answers with status 500",) * 3 + (None,):
        await again(fault)
    scene.second += COMPLAIN_SEC
    await again("it answers with status 500")
    assert [_event(text) for text in said] == ["failed", "", "", "recovered", "failed"]
    assert recorded(scene.desk).calls("notified") == [("failed",)] * 3 + [("sent",), ("failed",)]


async def test_a_fault_of_its_own_ends_nothing(monkeypatch):
    monkeypatch.setattr("hotbandd.services.notifier.AGAIN_SEC", 0.0)
    scene = await Scene().start()
    looked = anyio.Event()
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ZeroDivisionError
        looked.set()

    monkeypatch.setattr(scene.notifier, "look", look)
    async with anyio.create_task_group() as group:
        group.start_soon(scene.notifier.run)
        with anyio.fail_after(10):
            await looked.wait()
        group.cancel_scope.cancel()
    assert recorded(scene.desk).calls("loop_failed") == [("notifier", "ExceptionGroup")]


def _event(text: str) -> str:
    names: Callable[[str], Any] = text.count
    return next((name for name in ("failed", "recovered") if names(f"notifier.{name}")), "")
