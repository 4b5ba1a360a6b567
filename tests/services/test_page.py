"""The page, kept up while somebody looks: one picture for all, bounded listeners, and what it says in bad times."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import pytest

from hotbandd import daemon
from hotbandd.adapters.store import keys
from hotbandd.core.candles import MINUTE_MS
from hotbandd.core.documents import Manifold
from hotbandd.core.page_documents import Update
from hotbandd.services import page, picture
from hotbandd.services.health import Health
from hotbandd.services.loop import Due
from hotbandd.services.page import Pages
from hotbandd.services.picture import Shown
from tests.services.scenes import (
    NOW,
    PAIRS,
    HandClock,
    ScriptedSource,
    ShakyStore,
    desk_of,
    settings_of,
    store_of,
    trading,
)

DAY_MS = 1440 * MINUTE_MS
PATIENCE_SEC = 20


class Store(ShakyStore):
    """A store that can go away, its messages too."""

    def manifolds(self) -> AbstractAsyncContextManager[AsyncIterator[Manifold]]:
        return self.inner.manifolds()


class Stage:
    """A desk whose page is kept up."""

    def __init__(self, desk: daemon.Desk, clock: HandClock, store: Store) -> None:
        self.desk = desk
        self.clock = clock
        self.store = store
        self.health = Health()
        self.pages = Pages(Shown(desk.context, desk.evaluator, desk.allocator, self.health, "scripted"))

    async def hydrate(self) -> None:
        await self.desk.hydrator.step(Due(self.clock.now(), self.clock.now()))

    async def snapshot(self) -> dict[str, Any]:
        found = await self.pages.snapshot()
        assert found is not None
        return dict(json.loads(found))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time between two looks be short."""
    monkeypatch.setattr(page, "TICK_SEC", 0.02)
    monkeypatch.setattr(page, "LEAST_REST_SEC", 0.005)
    monkeypatch.setattr(page, "BEAT_SEC", 0.1)
    monkeypatch.setattr(page, "LINGER_SEC", 0.3)
    monkeypatch.setattr(page, "PAUSE_SEC", 0.05)
    monkeypatch.setattr(picture, "SUBSCRIBE_AGAIN_SEC", 0.02)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    clock = HandClock(NOW)
    settings = settings_of()
    store = Store(store_of(settings, clock))
    held = {pair: trading(NOW - 2 * DAY_MS, NOW + DAY_MS) for pair in PAIRS}
    desk = await desk_of(settings, clock, store, ScriptedSource(held))
    made = Stage(desk, clock, store)
    await made.hydrate()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.pages.run)
        with anyio.fail_after(PATIENCE_SEC):
            yield made
        tasks.cancel_scope.cancel()


def data(update: Update) -> dict[str, Any]:
    return dict(json.loads(update.data))


async def named(updates: AsyncIterator[Update], name: str, having: str = "version") -> dict[str, Any]:
    """Return the next update of a name that has a part."""
    async for update in updates:
        if update.name == name and having in data(update):
            return data(update)
    raise AssertionError("the updates ended")


async def test_who_comes_gets_the_whole_page_and_then_what_changes() -> None:
    async with stage() as made, made.pages.listen(None) as updates:
        first = await named(updates, "page")
        assert set(first["instruments"]) == set(PAIRS)
        assert first["instruments"]["EUR_USD"]["measured"]["ts"] == NOW
        assert first["days"]["EUR_USD"]["C"][-1] is not None
        await made.store.set_kill_switch(engaged=False)
        found = await named(updates, "change", "kill_switch")
        assert found["kill_switch"] == {"engaged": False, "words": "released"}
        assert set(found) <= {"version", "now", "kill_switch"}
        made.clock.moment += MINUTE_MS
        await made.hydrate()
        found = await named(updates, "change", "instruments")
        assert found["instruments"]["EUR_USD"]["measured"]["ts"] == NOW + MINUTE_MS


async def test_who_has_the_page_gets_only_what_changes_and_signs_of_life() -> None:
    async with stage() as made:
        version = (await made.snapshot())["version"]
        async with made.pages.listen(None) as updates:
            await named(updates, "beat")  # nothing changes any more
        version = (await made.snapshot())["version"]
        async with made.pages.listen(version) as updates:
            async for update in updates:
                assert update.name == "beat"
                assert data(update) == {"version": version, "now": made.clock.now()}
                break


async def test_nobody_looks_and_nothing_is_asked() -> None:
    async with stage() as made:
        asked = len(made.store.calls)
        await anyio.sleep(0.1)
        assert len(made.store.calls) == asked
        await made.snapshot()
        assert len(made.store.calls) > asked
        while made.pages._page is not None:  # noqa: ASYNC110  until the last look is some time ago
            await anyio.sleep(0.02)
        asked = len(made.store.calls)
        await anyio.sleep(0.1)
        assert len(made.store.calls) == asked
        assert await made.snapshot()


async def test_who_lags_behind_is_cut_off_and_the_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "QUEUE", 3)
    monkeypatch.setattr(page, "BEAT_SEC", 0.0)
    async with stage() as made, made.pages.listen(None) as slow, made.pages.listen(None) as quick:
        seen = 0
        async for _ in quick:
            seen += 1
            if seen > 12:
                break
        assert len([update async for update in slow]) <= 4  # and then it ends
        assert made.pages.room


async def test_there_is_room_for_so_many_and_it_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "LISTENERS", 2)
    async with stage() as made:
        async with made.pages.listen(None), made.pages.listen(None):
            assert not made.pages.room
        assert made.pages.room


async def test_while_the_store_is_away_the_page_says_so_and_keeps_what_it_knew() -> None:
    async with stage() as made, made.pages.listen(None) as updates:
        await named(updates, "page")
        made.store.away = True
        told = (await named(updates, "change", "daemon"))["daemon"]
        assert told["store_up"] is False
        assert "nobody answers" in told["troubles"][0]
        kept = await made.snapshot()
        assert kept["instruments"]["EUR_USD"]["measured"]["ts"] == NOW
        made.store.away = False
        assert (await named(updates, "change", "daemon"))["daemon"]["store_up"] is True


async def test_a_kill_switch_that_was_never_read_is_not_known() -> None:
    async with stage() as made:
        made.store.away = True
        found = await made.snapshot()
        assert found["kill_switch"]["engaged"] is None
        assert found["kill_switch"]["words"].startswith("not known")


async def test_a_corrupt_document_counts_as_missing() -> None:
    async with stage() as made:
        await made.store.inner._backend.set(keys.GATES_BLOB, b"{")
        found = await made.snapshot()
        assert found["gates"]["ts"] is None
        assert found["daemon"]["store_up"] is True


async def test_a_daemon_that_stands_by_shows_what_the_store_says() -> None:
    async with stage() as made:
        clock, store = made.clock, made.store
        other = daemon.desk(
            settings_of(),
            daemon.Outside(store, ScriptedSource({}), made.desk.context.compute, clock, made.desk.context.telemetry),
        )  # type: ignore[arg-type]
        pages = Pages(Shown(other.context, other.evaluator, other.allocator, Health(), "scripted"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pages.run)
            found = await pages.snapshot()
            while found is None or json.loads(found)["instruments"]["EUR_USD"]["measured"] is None:
                await anyio.sleep(0.02)
                found = await pages.snapshot()
            shown = json.loads(found)
            assert shown["daemon"]["leading"] is False
            assert shown["instruments"]["EUR_USD"]["measured"]["ts"] == NOW
            assert shown["days"]["EUR_USD"]["C"][-1] is not None
            tasks.cancel_scope.cancel()


async def test_a_fault_of_the_page_ends_no_daemon_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as made:
        with monkeypatch.context() as broken:
            broken.setattr(made.pages._picture.__class__, "build", lambda *_: 1 / 0)
            async with made.pages.listen(None) as updates:
                assert [update async for update in updates] == []
        assert (await made.snapshot())["instruments"]


async def test_at_the_end_every_listener_is_let_go() -> None:
    async with stage() as made, made.pages.listen(None) as updates:
        await named(updates, "page")
        made.pages._let_go()
        assert [update async for update in updates if update.name == "page"] == []
