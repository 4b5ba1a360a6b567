"""Candles that are packed once they are old: whoever reads or writes through the store does not notice, in memory and in Valkey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.crc import key_slot
from structlog.testing import capture_logs

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.backend import PackDay
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, concatenate, empty, merge, of_columns
from tests.adapters.conftest import Bench
from tests.adapters.store_samples import AGES, PAIR, assert_same

PLACE = keys.CandlePlace(PAIR, "M1")
FOREVER = 2**53
FIRST = 20_000 * DAY_MS
HOT, KEPT = 2, 12
SETTLED = HOT + 2  # from so many days before the newest one on, every day is packed, whenever in the day that is done


def store_of(bench: Bench, hot: int = HOT, kept: int = KEPT) -> DocumentStore:
    return DocumentStore(bench.backend, AGES._replace(candles_days=kept, candles_hot_days=hot))


def candles_at(minutes: Sequence[int], price: float = 1.1) -> Candles:
    """Candles at minutes after FIRST; every third one without quotes."""
    t = FIRST + np.array(minutes, dtype=np.int64) * MINUTE_MS
    close = np.round(price + np.array(minutes) % 97 * 1e-5, 5)
    bid, ask = np.round(close - 1e-5, 5), np.round(close + 1e-5, 5)
    bid[::3] = ask[::3] = np.nan
    return of_columns(t, close, close + 1e-4, close - 1e-4, close, np.full(len(t), 12.0), bid, ask)


def day(number: int, step: int = 30, price: float = 1.1) -> Candles:
    return candles_at(range(number * 1440, (number + 1) * 1440, step), price)


def days(numbers: Sequence[int]) -> Candles:
    return concatenate(day(number) for number in numbers)


async def whole(store: DocumentStore) -> Candles:
    page = await store.candles(PAIR, "M1", 0, FOREVER)
    assert page.refused == {}
    assert await store.candle_count(PAIR, "M1", 0, FOREVER) == page.candles.size
    return page.candles


async def single(bench: Bench) -> list[int]:
    """Return the days, by number, of which members stand in the sorted set."""
    members = await bench.backend.range(PLACE.recent, 0, FOREVER, 100_000)
    return sorted({int(score - FIRST) // DAY_MS for _, score in members})


async def packed(bench: Bench) -> list[str]:
    return sorted(await bench.backend.names(PLACE.packed))


def named(number: int) -> str:
    return str(np.datetime64(FIRST + number * DAY_MS, "ms").astype("datetime64[D]"))


async def test_days_that_are_no_longer_hot_are_packed_and_read_back(bench: Bench) -> None:
    store, given_days = store_of(bench), days(range(10))
    await store.put_candles(PAIR, "M1", given_days)
    assert_same(await whole(store), given_days)
    assert set(range(10 - HOT, 10)) <= set(await single(bench)) <= set(range(9 - SETTLED, 10))
    assert await packed(bench) == [named(number) for number in range(10) if number not in await single(bench)]


async def test_any_range_is_read_and_counted_across_the_border(bench: Bench) -> None:
    store, given_days = store_of(bench), days(range(10))
    await store.put_candles(PAIR, "M1", given_days)
    border = min(await single(bench))
    for first, end in (
        (0, 3),
        (border - 1, border + 1),
        (border, border + 1),
        (border - 0.5, border + 0.3),
        (2.25, 2.5),
    ):
        start_ms, end_ms = (FIRST + round(at * DAY_MS) for at in (first, end))
        expected = given_days.between(start_ms, end_ms)
        assert_same((await store.candles(PAIR, "M1", start_ms, end_ms)).candles, expected)
        assert await store.candle_count(PAIR, "M1", start_ms, end_ms) == expected.size


async def test_as_long_as_all_days_are_hot_none_is_packed(bench: Bench) -> None:
    store = store_of(bench, hot=KEPT)
    await store.put_candles(PAIR, "M1", days(range(KEPT)))
    assert await packed(bench) == []
    assert await single(bench) == list(range(KEPT))


async def test_late_and_corrected_candles_enter_their_packed_day(bench: Bench) -> None:
    store, given_days = store_of(bench), days(range(10))
    await store.put_candles(PAIR, "M1", given_days)
    late = candles_at([1441, 1470, 1500], price=1.2)  # one new, two corrected
    await store.put_candles(PAIR, "M1", late)
    assert_same(await whole(store), merge(given_days, late))
    assert 1 not in await single(bench)


async def test_packed_days_are_dropped_with_their_last_candle(bench: Bench) -> None:
    store = store_of(bench)
    await store.put_candles(PAIR, "M1", days(range(10)))
    for number in range(10, 20):
        await store.put_candles(PAIR, "M1", day(number))
        kept = await whole(store)
        bound = int(kept.t[-1]) - KEPT * DAY_MS
        assert kept.t[0] == FIRST if bound <= FIRST else bound - 2 * DAY_MS < kept.t[0] <= bound + DAY_MS
    await store.put_candles(PAIR, "M1", day(20 + KEPT))
    assert_same(await whole(store), day(20 + KEPT))
    assert await packed(bench) == []


async def test_a_corrupt_day_is_named_left_out_counted_and_replaced(bench: Bench) -> None:
    store = store_of(bench)
    await store.put_candles(PAIR, "M1", days(range(10)))
    (value,) = await bench.backend.fields(PLACE.packed, [named(2)])
    assert value is not None
    await bench.backend.pack(PackDay(PLACE, named(2), (0, 0), [], value, value[:-1] + b"x"))
    with capture_logs() as logs:
        page = await store.candles(PAIR, "M1", 0, FOREVER)
    assert_same(page.candles, days([0, 1, *range(3, 10)]))
    assert page.refused == {"corrupt": 1}
    assert [(line["event"], line["day"], line["key"]) for line in logs] == [
        ("store.corrupt_day", named(2), PLACE.packed)
    ]
    await store.put_candles(PAIR, "M1", day(2))
    assert_same(await whole(store), days(range(10)))


async def test_a_day_with_a_corrupt_member_stays_until_it_is_mended(bench: Bench) -> None:
    store = store_of(bench)
    await bench.backend.put(PLACE.recent, [(b"spoilt", FIRST + MINUTE_MS)])
    await store.put_candles(PAIR, "M1", days(range(10)))
    page = await store.candles(PAIR, "M1", 0, FOREVER)
    assert_same(page.candles, days(range(10)))
    assert page.refused == {"corrupt": 1}
    assert 0 in await single(bench)
    await store.put_candles(PAIR, "M1", candles_at([1]))
    assert_same(await whole(store), merge(days(range(10)), candles_at([1])))
    assert 0 not in await single(bench)


async def test_foreign_fields_are_no_days(bench: Bench) -> None:
    store = store_of(bench)
    await store.put_candles(PAIR, "M1", days(range(10)))
    for name in ("today", "NaT", "2024", "2024-02-30", "", "20240203", "2024-02-03T00:00"):
        await bench.backend.pack(PackDay(PLACE, name, (0, 0), [], None, b"x"))
    assert_same(await whole(store), days(range(10)))


async def test_more_hot_days_put_packed_ones_back(bench: Bench) -> None:
    await store_of(bench).put_candles(PAIR, "M1", days(range(10)))
    more = store_of(bench, hot=7)
    correction = candles_at([9 * 1440 - 30], price=1.2)
    await more.put_candles(PAIR, "M1", correction)
    assert set(range(3, 10)) <= set(await single(bench))
    assert_same(await whole(more), merge(days(range(10)), correction))
    fewer = store_of(bench)
    await fewer.put_candles(PAIR, "M1", day(9))
    assert set(await single(bench)) <= set(range(9 - SETTLED, 10))
    assert_same(await whole(fewer), merge(days(range(10)), correction))


class Watched:
    """A backend that counts what is packed, and may do something just before."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.packed: list[str] = []
        self.before: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def pack(self, packed: PackDay) -> bool:
        self.packed.append(packed.day)
        if self.before is not None:
            await self.before(packed)
        return bool(await self._backend.pack(packed))


def watched(bench: Bench) -> tuple[Watched, DocumentStore]:
    backend = Watched(bench.backend)
    return backend, DocumentStore(backend, AGES._replace(candles_days=KEPT, candles_hot_days=HOT))


async def test_each_day_is_packed_once_however_many_candles_come(bench: Bench) -> None:
    backend, store = watched(bench)
    await store.put_candles(PAIR, "M1", days(range(6)))
    for minute in range(6 * 1440, 10 * 1440, 20):
        await store.put_candles(PAIR, "M1", candles_at([minute]))
    assert backend.packed == [named(number) for number in range(len(backend.packed))]
    assert len(backend.packed) >= 10 - SETTLED


async def test_a_candle_that_comes_while_its_day_is_packed_is_kept(bench: Bench) -> None:
    backend, store = watched(bench)
    late = candles_at([5], price=1.2)

    async def put_meanwhile(packed: PackDay) -> None:
        backend.before = None
        await store_of(bench, hot=KEPT).put_candles(PAIR, "M1", late)

    backend.before = put_meanwhile
    await store.put_candles(PAIR, "M1", days(range(10)))
    assert_same(await whole(store), merge(days(range(10)), late))
    await store.put_candles(PAIR, "M1", day(10))
    assert 0 not in await single(bench)
    assert_same(await whole(store), merge(days(range(11)), late))


async def test_two_that_pack_the_same_day_lose_none_of_its_candles(bench: Bench) -> None:
    backend, store = watched(bench)
    late = candles_at([5], price=1.2)

    async def pack_meanwhile(packed: PackDay) -> None:
        backend.before = None
        await store_of(bench).put_candles(PAIR, "M1", late)

    backend.before = pack_meanwhile
    await store.put_candles(PAIR, "M1", days(range(10)))
    assert_same(await whole(store), merge(days(range(10)), late))


async def test_a_day_is_packed_only_as_it_was_seen(bench: Bench) -> None:
    backend, scores = bench.backend, (10, 20)
    await backend.put(PLACE.recent, [(b"a", 10), (b"b", 20), (b"c", 21)])
    seen = PackDay(PLACE, "2024-10-04", scores, [b"a", b"b"], None, b"first")
    for other in ([], [b"a"], [b"a", b"b", b"c"], [b"b", b"a"]):
        assert not await backend.pack(seen._replace(members=other))
    assert not await backend.pack(seen._replace(old=b"zero"))
    assert await backend.pack(seen)
    assert await backend.range(PLACE.recent, 0, 100, 100) == [(b"c", 21)]
    await backend.put(PLACE.recent, [(b"a", 10), (b"b", 20)])
    for old in (None, b"", b"second"):
        assert not await backend.pack(seen._replace(old=old, value=b"lost"))
    assert await backend.fields(PLACE.packed, ["2024-10-04"]) == [b"first"]
    assert await backend.count(PLACE.recent, *scores) == 2
    assert await backend.pack(seen._replace(old=b"first", value=b"second"))
    assert await backend.fields(PLACE.packed, ["2024-10-04", "2024-10-05"]) == [b"second", None]


class KilledError(Exception):
    pass


async def test_who_is_killed_while_days_are_packed_leaves_nothing_behind_that_is_lost_or_double(bench: Bench) -> None:
    for at in range(5):
        await store_of(bench, hot=KEPT).put_candles(PAIR, "M1", days(range(10)))
        backend, store = watched(bench)

        async def die(packed: PackDay, backend: Watched = backend, at: int = at) -> None:
            if len(backend.packed) > at:
                raise KilledError

        backend.before = die
        with pytest.raises(KilledError):
            await store.put_candles(PAIR, "M1", empty())
        assert_same(await whole(store_of(bench)), days(range(10)))
    await store_of(bench).put_candles(PAIR, "M1", empty())
    assert_same(await whole(store_of(bench)), days(range(10)))
    assert min(await single(bench)) >= 9 - SETTLED


async def test_a_back_fill_goes_to_its_packed_days_and_one_that_was_killed_can_be_gone_on_with(bench: Bench) -> None:
    await store_of(bench).put_candles(PAIR, "M1", day(9))
    backend, store = watched(bench)

    async def die(packed: PackDay) -> None:
        assert await single(bench) == [9]
        if len(backend.packed) == 3:
            raise KilledError

    backend.before = die
    with pytest.raises(KilledError):
        await store.put_candles(PAIR, "M1", days(range(9)))
    assert_same(await whole(store_of(bench)), merge(days(range(2)), day(9)))
    await store_of(bench).put_candles(PAIR, "M1", days(range(9)))
    assert_same(await whole(store_of(bench)), days(range(10)))
    assert min(await single(bench)) >= 9 - SETTLED


async def test_a_long_history_is_packed_a_few_days_at_a_time(bench: Bench) -> None:
    await store_of(bench, hot=60, kept=60).put_candles(PAIR, "M1", days(range(40)))
    backend = Watched(bench.backend)
    store = DocumentStore(backend, AGES._replace(candles_days=60, candles_hot_days=HOT))
    for _ in range(6):
        before = len(backend.packed)
        await store.put_candles(PAIR, "M1", candles_at([40 * 1440]))
        assert len(backend.packed) <= before + 8
    assert len(backend.packed) >= 40 - SETTLED
    assert_same(await whole(store), merge(days(range(40)), candles_at([40 * 1440])))


async def test_who_reads_while_days_are_packed_sees_every_candle(bench: Bench) -> None:
    await store_of(bench, hot=60, kept=60).put_candles(PAIR, "M1", days(range(30)))
    reader, done, seen = store_of(bench), anyio.Event(), 0

    async def read() -> None:
        nonlocal seen
        while not done.is_set():
            assert_same((await reader.candles(PAIR, "M1", 0, FOREVER)).candles, days(range(30)))
            seen += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        writer = store_of(bench, kept=60)
        for _ in range(5):
            await writer.put_candles(PAIR, "M1", day(29))
        done.set()
    assert seen
    assert min(await single(bench)) >= 29 - SETTLED


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 9 * 48), unique=True, min_size=1, max_size=40).map(sorted),
            st.sampled_from([1.1, 1.2, 1.3]),
            st.sampled_from([2, 2, 4, 40]),
        ),
        min_size=1,
        max_size=8,
    )
)
async def test_any_order_of_puts_gives_what_the_last_put_of_each_minute_was(bench: Bench, puts: list[Any]) -> None:
    await bench.backend.trim(PLACE.recent, FOREVER)
    if names := await bench.backend.names(PLACE.packed):
        await bench.backend.drop(PLACE.packed, names)
    expected, before, store = empty(), None, store_of(bench, kept=40)
    for half_hours, price, hot in puts:
        if hot != before:
            store, before = store_of(bench, hot=hot, kept=40), hot
        given_candles = candles_at([30 * each for each in half_hours], price)
        await store.put_candles(PAIR, "M1", given_candles)
        expected = merge(expected, given_candles)
        assert_same(await whole(store), expected)


def test_in_a_cluster_packed_days_are_where_the_recent_candles_are() -> None:
    for pair in ("EUR_USD", "USD_JPY", "XAU_USD"):
        place = keys.CandlePlace(pair, "M1")
        assert key_slot(place.packed.encode()) == key_slot(place.recent.encode())


async def test_packed_days_take_a_small_part_of_the_room(raw: Redis, valkey_url: str) -> None:
    backend = ValkeyBackend(valkey_url)
    store = DocumentStore(backend, AGES._replace(candles_days=KEPT, candles_hot_days=HOT))
    bench = Bench(store, backend)
    await store.put_candles(PAIR, "M1", concatenate(day(number, step=1) for number in range(10)))
    members, days_packed = await raw.zcard(PLACE.recent), len(await packed(bench))
    assert days_packed >= 10 - SETTLED
    one = await raw.memory_usage(PLACE.recent, samples=0) / members
    of_packed = await raw.memory_usage(PLACE.packed, samples=0) / (days_packed * 1440)
    assert of_packed < one / 20
    await store.aclose()
