"""A history whose older days are packed in the store: starts, losses and spoilt days, as the hydrator meets them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.backend import PackDay
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.ports import Page
from hotbandd.services import hydrator
from tests.services.scenes import NOW, PAIRS
from tests.services.test_intake import EUR, Stage, same

DAYS = {"candle_hot_days": 2, "candle_retention_days": 7}
PLACE = keys.CandlePlace(EUR, "M1")


def backend(stage: Stage) -> Any:
    return stage.store.inner._backend


async def loaded() -> Stage:
    stage = await Stage(**DAYS).start()
    await stage.step()
    await stage.step(1)
    assert stage.desk.context.market.loaded.is_set()
    assert len(await backend(stage).names(PLACE.packed)) >= 2
    return stage


async def test_a_start_reads_packed_days_and_asks_only_for_what_is_new() -> None:
    stage = await loaded()
    for pair in PAIRS:
        stored = await stage.stored(pair)
        assert same(
            stored.between(NOW - 7 * DAY_MS, NOW + DAY_MS), stage.held(pair, 8).between(NOW - 7 * DAY_MS, NOW + DAY_MS)
        )
    stage.source.asked.clear()
    await stage.start()
    await stage.step(20)
    assert len(stage.source.asked) == len(PAIRS)
    for pair in PAIRS:
        assert same(stage.desk.context.market.series[pair].candles, stage.held(pair, 7))


async def test_a_spoilt_day_is_counted_and_fetched_again() -> None:
    stage = await loaded()
    name = sorted(await backend(stage).names(PLACE.packed))[1]
    (value,) = await backend(stage).fields(PLACE.packed, [name])
    await backend(stage).pack(PackDay(PLACE, name, (0, 0), [], value, b"\x01spoilt"))
    stage.source.asked.clear()
    await stage.start()
    await stage.step(20)
    assert stage.counted()[EUR, "corrupt"] >= 1
    noon = int(datetime.fromisoformat(f"{name}T12:00+00:00").timestamp() * 1000)
    assert any(pair == EUR and start <= noon < end for pair, start, end in stage.source.asked)
    assert same(stage.desk.context.market.series[EUR].candles, stage.held(EUR, 7))
    assert same(
        (await stage.stored()).between(NOW - 6 * DAY_MS, NOW), stage.held(EUR, 8).between(NOW - 6 * DAY_MS, NOW)
    )


async def test_packed_days_that_the_store_lost_are_given_back() -> None:
    stage = await loaded()
    whole = await stage.stored()
    await backend(stage).drop(PLACE.packed, await backend(stage).names(PLACE.packed))
    await backend(stage).trim(PLACE.recent, NOW - DAY_MS // 2)
    assert (await stage.stored()).size < whole.size // 2
    await stage.regain()
    await stage.step(1)
    now = stage.clock.now()
    given_back = (await stage.stored()).between(now - 7 * DAY_MS + MINUTE_MS, now)
    assert same(given_back, stage.held(EUR, 7).between(now - 7 * DAY_MS + MINUTE_MS, now))
    assert len(await backend(stage).names(PLACE.packed)) >= 2


async def test_a_minute_late_by_days_enters_its_packed_day() -> None:
    stage = await loaded()
    whole, at = stage.source.held[EUR], NOW - 5 * DAY_MS
    late = whole.between(at, at + MINUTE_MS)
    corrected = late._replace(close=late.open)
    assert late.size
    await stage.store.put_candles(EUR, "M1", corrected)
    stored = await stage.stored()
    assert same(stored.between(at, at + MINUTE_MS), corrected)
    assert not await backend(stage).range(PLACE.recent, at, at + MINUTE_MS, 1)


async def test_memory_is_given_back_once_after_a_start() -> None:
    stage, given_back = await Stage(candle_hot_days=9).start(), []
    stage.desk.hydrator._give_back_memory = lambda: given_back.append(stage.clock.now())
    for _ in range(4):
        await stage.step(1)
    assert given_back == [NOW + MINUTE_MS]
    series = stage.desk.context.market.series[EUR]
    assert series.nbytes < 60 * series.size
    assert same(series.candles, stage.held(EUR, 9))


def room(stage: Stage) -> list[float]:
    """Return the bytes that each instrument's candles and metrics take, per candle."""
    return [series.nbytes / max(1, series.size) for series in stage.desk.context.market.series.values()]


def packed_sizes(stage: Stage) -> list[int]:
    return [series._cold.size for series in stage.desk.context.market.series.values()]


async def test_a_history_is_loaded_and_packed_a_few_instruments_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hydrator, "LOADED_TOGETHER", 1)
    stage = await Stage(candle_hot_days=9).start()
    seen: list[tuple[str, list[float]]] = []
    fetch = stage.source.fetch

    def watched(pair: str, start: int, end: int) -> AsyncIterator[Page]:
        seen.append((pair, room(stage)))
        return fetch(pair, start, end)

    stage.source.fetch = watched  # type: ignore[method-assign]
    await stage.step()
    assert stage.desk.context.market.loaded.is_set()
    history = seen[len(PAIRS) :]
    assert [pair for pair, _ in history] == sorted([pair for pair, _ in history], key=PAIRS.index)
    for pair, taken in history:
        at = PAIRS.index(pair)
        assert all(each < 60 for each in taken[:at])
        assert all(each > 100 for each in taken[at:])
    await stage.start()
    await stage.step(1)
    assert max(room(stage)) < 60


async def test_new_minutes_do_not_wait_for_a_long_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hydrator, "LOADED_TOGETHER", 1)
    stage = await Stage(candle_hot_days=9).start()
    fetch = stage.source.fetch

    def slow(pair: str, start: int, end: int) -> AsyncIterator[Page]:
        stage.clock.moment += 0 if end == stage.clock.moment else MINUTE_MS
        return fetch(pair, start, end)

    stage.source.fetch = slow  # type: ignore[method-assign]
    series = stage.desk.context.market.series
    for loaded in (False, False, True):
        began = stage.clock.now()
        await stage.step()
        assert stage.desk.context.market.loaded.is_set() is loaded
        assert {one.newest for one in series.values()} == {began // MINUTE_MS * MINUTE_MS - MINUTE_MS}
    for pair, one in series.items():
        assert same(one.candles, stage.held(pair, 9).closed_by(one.newest + MINUTE_MS))


async def test_the_same_day_of_all_instruments_is_not_packed_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hydrator, "PACKED_A_STEP", 1)
    stage = await Stage(candle_hot_days=9).start()
    await stage.step()
    await stage.step(DAY_MS // MINUTE_MS)
    sizes = [packed_sizes(stage)]
    for _ in PAIRS:
        await stage.step(1)
        sizes.append(packed_sizes(stage))
    grown = [
        sum(now > before for now, before in zip(*both, strict=True)) for both in zip(sizes[1:], sizes, strict=False)
    ]
    assert grown == [1, 1, 0]
