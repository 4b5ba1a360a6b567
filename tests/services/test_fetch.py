"""Candles fetched because somebody asks: stored once, taken in by the loop, and never in the way of what it still has to fetch."""

from __future__ import annotations

import anyio
import numpy as np
import pytest

from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.errors import CandleInputError, RefusedError, SourceUnreachableError, StoreUnreachableError
from hotbandd.services.fetch import Fetch
from tests.services.scenes import NOW, faulty
from tests.services.test_intake import EUR, GBP, Stage, same


async def staged(**given: object) -> tuple[Stage, Fetch]:
    stage = await Stage(**given).start()
    return stage, Fetch(stage.desk.context, stage.source, stage.desk.intake)


async def test_the_last_minutes_of_an_open_market_are_stored_and_a_second_time_changes_nothing():
    stage, fetch = await staged(candle_hot_days=7)
    done = await fetch.run(EUR, 1500)
    stored = await stage.stored()
    assert (done.stored, done.count, done.refused) == (1500, 1500, {})
    assert (done.t0_ms, done.t1_ms) == (NOW - 1500 * MINUTE_MS, NOW - MINUTE_MS)
    assert same(stored, stage.source.held[EUR].between(NOW - 1500 * MINUTE_MS, NOW))
    assert (await fetch.run(EUR, 1500)) == done
    assert same(await stage.stored(), stored)
    assert not (await stage.stored(GBP)).size


async def test_a_weekend_does_not_count():
    _stage, fetch = await staged(candle_hot_days=7)
    done = await fetch.run(EUR, 5000)
    assert done.stored == 5000
    assert done.t0_ms is not None
    assert done.t0_ms < NOW - 5000 * MINUTE_MS - DAY_MS


async def test_what_was_fetched_before_the_first_step_does_not_hide_what_is_missing():
    stage, fetch = await staged(candle_hot_days=7)
    await fetch.run(EUR, 10)
    await stage.step()
    assert same(await stage.stored(), stage.held(EUR, 7))
    assert same(stage.desk.context.market.series[EUR].candles, stage.held(EUR, 7))


async def test_a_hole_and_a_correction_enter_the_series_with_the_next_step():
    stage, fetch = await staged()
    whole = stage.source.held[EUR]
    hole = (whole.t >= NOW - 400 * MINUTE_MS) & (whole.t < NOW - 390 * MINUTE_MS)
    stage.source.held[EUR] = whole.take(~hole)
    await stage.step()
    series = stage.desk.context.market.series[EUR]
    assert series.size == stage.held(EUR).size == whole.between(NOW - 2 * DAY_MS, NOW).size - 10
    stage.source.held[EUR] = whole._replace(close=np.where(whole.t == NOW - 300 * MINUTE_MS, whole.high, whole.close))
    await fetch.run(EUR, 500)
    await stage.step()
    assert same(series.candles, stage.held(EUR))
    assert same(await stage.stored(), stage.held(EUR))
    assert series.measured == series.size


async def test_while_the_loop_is_behind_newer_candles_wait():
    stage, fetch = await staged()
    await stage.step()
    series = stage.desk.context.market.series[EUR]
    before = series.newest
    stage.clock.moment += 30 * MINUTE_MS
    await fetch.run(EUR, 5)
    stage.source.faults[EUR] = SourceUnreachableError("It is away.")
    await stage.step()
    assert series.newest == before
    del stage.source.faults[EUR]
    await stage.step()
    assert same(series.candles, stage.held(EUR))


async def test_candles_that_cannot_be_true_are_left_out_and_counted():
    stage, fetch = await staged()
    stage.source.slipped[EUR] = [faulty(NOW - 5 * MINUTE_MS, high=0.5)]
    done = await fetch.run(EUR, 100)
    assert (done.stored, done.refused) == (100, {"high_below_low": 1})
    assert stage.counted()[EUR, "high_below_low"] == 1


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (SourceUnreachableError("It is away."), SourceUnreachableError),
        (RefusedError("It says no."), RefusedError),
        (CandleInputError("It is no JSON."), RefusedError),
    ],
)
async def test_what_the_source_says_reaches_who_asked_and_the_next_one_is_served(fault, raised):
    stage, fetch = await staged()
    stage.source.faults[EUR] = fault
    with pytest.raises(raised):
        await fetch.run(EUR, 100)
    assert not fetch.busy
    del stage.source.faults[EUR]
    assert (await fetch.run(EUR, 100)).stored == 100


async def test_a_store_that_is_away_is_told():
    stage, fetch = await staged()
    stage.store.away = True
    with pytest.raises(StoreUnreachableError):
        await fetch.run(EUR, 100)


async def test_a_source_that_never_ends_is_given_up(monkeypatch):
    stage, _ = await staged()

    async def endless(*_words):
        await anyio.sleep_forever()
        yield

    monkeypatch.setattr(stage.source, "fetch", endless)
    fetch = Fetch(stage.desk.context, stage.source, stage.desk.intake, deadline_sec=0.05)
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(SourceUnreachableError, match=r"within 0\.05 s"):
                await fetch.run(EUR, 100)

        group.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert fetch.busy
    assert not fetch.busy
