"""Leadership: who holds the lease publishes; who loses it stands by and takes it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from hotbandd.core.documents import encode
from hotbandd.errors import FencedError
from hotbandd.ports import Lease, Outcome
from hotbandd.services import leader
from hotbandd.services.health import Health
from hotbandd.services.leader import Leader, Leadership
from tests.adapters import store_samples as samples
from tests.services.recording import RecordingTelemetry
from tests.services.scenes import HandClock, ShakyStore, settings_of, store_of
from tests.valkey import eventually

TTL_SEC = 0.15


class Process:
    """A process that wants to lead."""

    def __init__(self, store: ShakyStore, holder: str, ttl_sec: float = TTL_SEC) -> None:
        self.leadership, self.health, self.telemetry = Leadership(), Health(), RecordingTelemetry()
        self.leader = Leader(self.leadership, store, self.telemetry, self.health, holder, ttl_sec)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self.leader.run)
            yield
            group.cancel_scope.cancel()

    @property
    def leads(self) -> bool:
        return self.leadership.lease is not None


def holds(check: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return check()

    return ask


@pytest.fixture
def store() -> ShakyStore:
    return ShakyStore(store_of(settings_of(), HandClock()))


async def test_a_process_alone_leads_and_keeps_the_lease_beyond_its_life(store):
    one = Process(store, "one")
    async with one.running():
        await eventually(holds(lambda: one.leads))
        lease = one.leadership.lease
        await eventually(holds(lambda: store.calls.count("renew_lease") >= 6))
        assert one.leadership.lease == lease == await store.leader()
    assert one.telemetry.calls("leader")[-1] == (True, lease.epoch)


async def test_a_process_that_ends_gives_the_lease_up_at_once(store):
    one = Process(store, "one", ttl_sec=3600)
    async with one.running():
        await eventually(holds(lambda: one.leads))
    assert await store.leader() is None
    assert not one.leads


async def test_a_second_process_stands_by_and_takes_over_with_a_higher_epoch(store):
    one, two = Process(store, "one"), Process(store, "two")
    async with two.running():
        await eventually(holds(lambda: two.leads))
        async with one.running():
            await eventually(holds(lambda: store.calls.count("acquire_lease") >= 4))
            assert not one.leads
            first = two.leadership.lease
            two.leader._beat = anyio.sleep_forever  # as if it were stopped
            await eventually(holds(lambda: one.leads))
            assert one.leadership.lease.epoch > first.epoch
    assert not two.leads


async def test_who_stands_by_tells_who_leads_and_asks_twice_a_second_however_long_the_lease(store):
    one, two = Process(store, "one", ttl_sec=3600), Process(store, "two", ttl_sec=3600)
    async with two.running():
        await eventually(holds(lambda: two.leads))
        async with one.running():
            await eventually(holds(lambda: one.leadership.leader is not None))
            assert one.leadership.leader == two.leadership.lease
            assert one.telemetry.calls("leader")[-1] == (False, two.leadership.lease.epoch)
            assert not one.leadership.leading
            await store.release_lease(two.leadership.lease)
            await eventually(holds(lambda: one.leads), 2)


async def test_a_publication_that_was_fenced_has_the_lease_asked_for_at_once(store):
    one = Process(store, "one", ttl_sec=3600)
    async with one.running():
        await eventually(holds(lambda: one.leads))
        first = one.leadership.lease
        await store.release_lease(first)  # as by a server that began anew
        with pytest.raises(FencedError):
            one.leadership.accept(Outcome.FENCED, "the gates", first)
        await eventually(holds(lambda: one.leads), 2)
        assert one.leadership.lease.epoch > first.epoch


def test_a_lease_that_ran_out_by_the_own_clock_is_no_more_said_to_be_held():
    now = 100.0
    leadership = Leadership(lambda: now)
    leadership.gain(Lease("one", 1))
    leadership.know(Lease("one", 1), until=101.0)
    assert leadership.leading
    now = 101.0
    assert not leadership.leading
    assert leadership.leader is None
    assert leadership.lease == Lease("one", 1)  # the store has the last word


async def test_a_lease_that_was_lost_is_noticed_and_taken_again(store):
    one = Process(store, "one")
    async with one.running():
        await eventually(holds(lambda: one.leads))
        first = one.leadership.lease
        await store.release_lease(first)
        await eventually(holds(lambda: one.leads and one.leadership.lease != first))
        assert one.leadership.lease.epoch > first.epoch


async def test_a_store_that_is_away_is_reported_and_the_lease_stays_what_the_store_says(store):
    one = Process(store, "one", ttl_sec=0.3)
    async with one.running():
        await eventually(holds(lambda: one.leads))
        lease = one.leadership.lease
        store.away = True
        await eventually(holds(lambda: one.health.store_up is False))
        assert one.leadership.lease == lease
        store.away = False
        await eventually(holds(lambda: one.health.store_up is True))
        await eventually(holds(lambda: one.leads))
    ups = [up for (up,) in one.telemetry.calls("store_up")]
    assert ups[0]
    assert ups[-1]
    assert False in ups
    assert one.health.silent() == []


async def test_a_corrupt_lease_is_nobodys_to_take_until_it_is_gone(store):
    await store.inner._backend.set("hotband:leader", b"garbage")
    store.inner._backend._lease_end = float("inf")
    one = Process(store, "one")
    async with one.running():
        await eventually(holds(lambda: store.calls.count("acquire_lease") >= 3))
        assert not one.leads
        assert one.health.store_up
        del store.inner._backend._values["hotband:leader"]
        await eventually(holds(lambda: one.leads))


async def test_a_lease_that_was_taken_while_the_process_ended_is_given_up_too(store):
    one = Process(store, "one", ttl_sec=3600)
    taken = anyio.Event()

    async def acquire(*args: object, **more: object) -> None:
        await store.inner.acquire_lease(*args, **more)
        taken.set()
        await anyio.sleep_forever()  # the answer comes too late

    store.acquire_lease = acquire
    async with one.running():
        await taken.wait()
    assert await store.leader() is None


async def test_an_end_while_the_store_is_away_is_not_held_up(store):
    one = Process(store, "one")
    with anyio.fail_after(2):
        async with one.running():
            await eventually(holds(lambda: one.leads))
            store.away = True
    assert not one.leads


async def test_who_waits_for_the_lease_is_woken_however_often_its_loss_was_told():
    leadership, got = Leadership(), []
    leadership.gain(Lease("one", 1))
    leadership.lose()

    async def wait() -> None:
        got.append(await leadership.held())

    with anyio.fail_after(2):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            leadership.lose()
            leadership.gain(Lease("one", 2))
    assert got == [Lease("one", 2)]


@pytest.mark.parametrize("outcome", [Outcome.PUBLISHED, Outcome.DUPLICATE])
def test_what_was_published_once_or_twice_leaves_the_lead(outcome):
    leadership = Leadership()
    leadership.gain(Lease("one", 1))
    leadership.accept(outcome, "the gates", Lease("one", 1))
    assert leadership.lease == Lease("one", 1)


def test_a_fenced_publication_ends_the_lead():
    leadership = Leadership()
    leadership.gain(Lease("one", 1))
    with pytest.raises(FencedError, match="the gates was not published"):
        leadership.accept(Outcome.FENCED, "the gates", Lease("one", 1))
    assert leadership.lease is None


def test_a_fenced_publication_of_an_earlier_lease_leaves_the_present_one():
    leadership = Leadership()
    leadership.gain(Lease("one", 2))
    with pytest.raises(FencedError):
        leadership.accept(Outcome.FENCED, "the gates", Lease("one", 1))
    assert leadership.lease == Lease("one", 2)


async def test_what_the_store_lost_is_back_before_this_process_leads_again(store):
    one = Process(store, "one", ttl_sec=3600)
    order = []
    give_back, gain = store.inner.give_back, one.leadership.gain

    async def noted(lease, *, repeat):
        order.append(("give_back", lease.epoch, repeat, one.leads))
        return await give_back(lease, repeat=repeat)

    store.inner.give_back = noted
    one.leadership.gain = lambda lease: (order.append(("gain", lease.epoch)), gain(lease))
    async with one.running():
        await eventually(holds(lambda: one.leads))
        first = one.leadership.lease
        await store.publish_evaluation(first, samples.evaluation(samples.START, first.epoch, 1))
        await store.inner._backend.set("hotband:count", b"0")  # as a server with older data
        await store.inner._backend.set("hotband:fence:gates", b"1:1")
        await eventually(holds(lambda: one.leads and one.leadership.lease != first))
        assert (await store.gates_blob()).epoch == first.epoch
    second = order[-1][1]
    assert second > first.epoch
    assert order[-2:] == [("give_back", second, False, False), ("gain", second)]


async def test_after_an_outage_the_last_documents_go_out_again_and_whoever_waits_is_told(store):
    one = Process(store, "one", ttl_sec=3600)
    async with one.running():
        await eventually(holds(lambda: one.leads))
        lease = one.leadership.lease
        await store.publish_evaluation(lease, samples.evaluation(samples.START, lease.epoch, 1))
        async with store.inner.subscribe(["ws:gates"]) as messages:
            store.away = True
            await eventually(holds(lambda: one.health.store_up is False))
            with anyio.fail_after(5):
                async with anyio.create_task_group() as group:
                    group.start_soon(one.leadership.news)
                    await anyio.wait_all_tasks_blocked()
                    store.away = False
                assert await anext(messages) == ("ws:gates", encode(samples.blob(samples.START, lease.epoch, 1)))
        assert one.leadership.lease == lease


async def test_an_epoch_lies_above_every_one_that_this_process_has_known(store):
    one = Process(store, "one", ttl_sec=3600)
    async with one.running():
        await eventually(holds(lambda: one.leads))
        first = one.leadership.lease
        store.inner._backend._values.clear()
        store.inner._backend._now_ms = lambda: 5  # a server that began anew with a clock of long ago
        await eventually(holds(lambda: one.leads and one.leadership.lease != first))
        assert one.leadership.lease.epoch == first.epoch + 1


async def test_a_store_that_answers_too_late_is_away(store, monkeypatch):
    monkeypatch.setattr(leader, "LATE_SEC", 0.05)
    one = Process(store, "one", ttl_sec=3600)
    async with one.running():
        await eventually(holds(lambda: one.leads))

        async def late(lease, ttl_ms):
            await anyio.sleep_forever()

        store.inner.renew_lease = late
        await eventually(holds(lambda: one.health.store_up is False))
