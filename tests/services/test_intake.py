"""Candles on their way from the source into the series and the store."""

from __future__ import annotations

import numpy as np
import pytest

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, concatenate
from hotbandd.errors import CandleInputError, RefusedError, SourceUnreachableError, StoreUnreachableError
from hotbandd.services.loop import Due
from tests.services.scenes import (
    FOR_EVER,
    NOW,
    PAIRS,
    HandClock,
    ScriptedSource,
    ShakyStore,
    desk_of,
    faulty,
    recorded,
    settings_of,
    store_of,
    trading,
)

EUR, GBP, AUD = PAIRS
HOLD = NOW - 9 * DAY_MS


class Stage:
    """One desk over a scripted source and a store that can go away, and a clock that is moved by hand."""

    def __init__(self, **given: object) -> None:
        self.settings = settings_of(**given)
        self.clock = HandClock(NOW)
        self.store = ShakyStore(store_of(self.settings, self.clock))
        self.source = ScriptedSource({pair: trading(HOLD, NOW + DAY_MS, 1.0 + i / 10) for i, pair in enumerate(PAIRS)})

    async def start(self) -> Stage:
        self.desk = await desk_of(self.settings, self.clock, self.store, self.source)
        return self

    async def step(self, minutes: float = 0) -> None:
        self.clock.moment += int(minutes * MINUTE_MS)
        await self.desk.hydrator.step(Due(self.clock.now(), self.clock.now()))

    async def regain(self) -> None:
        self.desk.context.leadership.lose()
        self.desk.context.leadership.gain(await self.store.acquire_lease("test", FOR_EVER))

    async def stored(self, pair: str = EUR) -> Candles:
        page = await self.store.candles(pair, "M1", 0, 2**53)
        assert not page.refused
        return page.candles

    def held(self, pair: str = EUR, days: int = 2) -> Candles:
        now = self.clock.now()
        oldest = (now - days * DAY_MS) // MINUTE_MS * MINUTE_MS
        return self.source.held[pair].between(oldest, now).closed_by(now)

    def counted(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for pair, outcome, count in recorded(self.desk).calls("candles"):
            found[pair, outcome] = found.get((pair, outcome), 0) + count
        return found


def same(ours: Candles, theirs: Candles) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours, theirs, strict=True))


async def test_every_candle_of_the_source_ends_in_series_and_store_exactly_once():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    await stage.step(1)
    await stage.step(2.5)
    now = stage.clock.now()
    for pair in PAIRS:
        stored, held = await stage.stored(pair), stage.source.held[pair].closed_by(now)
        assert same(stored, held.between(int(held.t[-1]) - 7 * DAY_MS, now))
        assert stage.counted()[pair, "stored"] == held.between(NOW - 7 * DAY_MS, now).size
        series = stage.desk.context.market.series[pair]
        assert same(series.candles, stage.held(pair, 7))
        assert series.measured == series.size


async def test_the_newest_days_come_first_and_the_rest_newest_first():
    stage = await Stage(candle_hot_days=8).start()
    await stage.step()
    asked = [(start, end) for pair, start, end in stage.source.asked if pair == EUR]
    assert asked[0] == (NOW - 3 * DAY_MS, NOW)
    assert asked[1:] == sorted(asked[1:], reverse=True)
    assert len(asked) > 1
    assert all(end <= NOW - 3 * DAY_MS for _, end in asked[1:])
    assert stage.desk.context.market.loaded.is_set()


async def test_nothing_older_than_the_history_and_nothing_of_the_future_is_asked_for():
    stage = await Stage(candle_hot_days=8).start()
    await stage.step()
    await stage.step(1)
    assert min(start for _, start, _ in stage.source.asked) == NOW - 8 * DAY_MS
    assert all(start < end <= stage.clock.now() for _, start, end in stage.source.asked)


async def test_a_restart_resumes_from_the_store_and_asks_only_for_what_is_missing():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    hole = (NOW - 2 * DAY_MS, NOW - 2 * DAY_MS + 30 * MINUTE_MS)
    await stage.store.inner._backend.trim("md:candles:GBP_USD:M1", 2**53)
    kept = stage.source.held[GBP].between(NOW - 7 * DAY_MS, NOW)
    await stage.store.put_candles(GBP, "M1", kept.take((kept.t < hole[0]) | (kept.t >= hole[1])))
    stage.source.asked.clear()
    await stage.start()
    await stage.step(20)
    newest = NOW - MINUTE_MS
    assert sorted(stage.source.asked) == sorted(
        [(pair, newest - 5 * MINUTE_MS, stage.clock.now()) for pair in PAIRS] + [(GBP, *hole)]
    )
    for pair in PAIRS:
        assert same(stage.desk.context.market.series[pair].candles, stage.held(pair, 7))
    assert same((await stage.stored(GBP)).between(*hole), stage.source.held[GBP].between(*hole))


async def test_a_restart_without_the_source_makes_do_with_a_stored_history_that_is_whole():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    await stage.start()
    stage.source.faults = dict.fromkeys(PAIRS, SourceUnreachableError("down"))
    with pytest.raises(SourceUnreachableError):
        await stage.step()
    market = stage.desk.context.market
    assert market.loaded.is_set()
    assert all(series.measured == series.size for series in market.series.values())


async def test_a_restart_without_the_source_waits_for_it_where_history_is_missing():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    await stage.store.inner._backend.trim("md:candles:GBP_USD:M1", 2**53)
    await stage.start()
    stage.source.faults = dict.fromkeys(PAIRS, SourceUnreachableError("down"))
    with pytest.raises(SourceUnreachableError):
        await stage.step()
    assert not stage.desk.context.market.loaded.is_set()
    stage.source.faults = {}
    await stage.step(1)
    assert stage.desk.context.market.loaded.is_set()


async def test_a_long_absence_is_fetched_once():
    stage = await Stage(candle_hot_days=7).start()
    await stage.store.put_candles(EUR, "M1", stage.source.held[EUR].between(NOW - 7 * DAY_MS, NOW - 5 * DAY_MS))
    await stage.step()
    asked = [(start, end) for pair, start, end in stage.source.asked if pair == EUR]
    assert asked == [(int((await stage.stored()).between(0, NOW - 5 * DAY_MS).t[-1]) - 5 * MINUTE_MS, NOW)]
    assert same(stage.desk.context.market.series[EUR].candles, stage.held(days=7))


async def test_a_late_and_a_corrected_candle_replace_what_was_there():
    stage = await Stage().start()
    late, corrected = NOW - 3 * MINUTE_MS, NOW - 2 * MINUTE_MS
    whole = stage.source.held[EUR]
    stage.source.held[EUR] = whole.take(whole.t != late)
    await stage.step()
    assert late not in (await stage.stored()).t
    row = int(np.searchsorted(whole.t, corrected))
    whole = whole._replace(close=whole.close.copy(), high=whole.high.copy())
    whole.close[row] = whole.high[row] = whole.high[row] + 0.01
    stage.source.held[EUR] = whole
    await stage.step(1)
    oldest = int(stage.held().t[0])
    assert same((await stage.stored()).between(oldest, 2**53), stage.held())
    assert same(stage.desk.context.market.series[EUR].candles, stage.held())


async def test_candles_that_cannot_be_true_are_counted_and_reach_neither_series_nor_store():
    stage = await Stage().start()
    t = NOW - 4 * MINUTE_MS
    stage.source.slipped[EUR] = [
        faulty(t, high=0.5),
        faulty(t, close=float("nan")),
        faulty(NOW),
        faulty(t + 1),
        concatenate((trading(t, t + MINUTE_MS, 1.0), trading(t, t + MINUTE_MS, 1.0))),
    ]
    await stage.step()
    assert same(await stage.stored(), (await stage.stored()).between(0, NOW))
    assert same(stage.desk.context.market.series[EUR].candles, stage.held())
    refused = {reason: count for (pair, reason), count in stage.counted().items() if pair == EUR and reason != "stored"}
    assert refused == {"high_below_low": 1, "not_finite": 1, "future": 1, "off_grid": 1, "duplicate": 1}


@pytest.mark.parametrize("fault", [SourceUnreachableError("no"), RefusedError("no"), CandleInputError("no")])
async def test_the_fault_of_one_instrument_leaves_the_others_alone(fault):
    stage = await Stage(candle_hot_days=7).start()
    stage.source.faults[GBP] = fault
    await stage.step()
    assert not (await stage.stored(GBP)).size
    assert same((await stage.stored(AUD)).between(NOW - DAY_MS, NOW), stage.held(AUD, 1))
    assert ("hydrator", type(fault).__name__) in recorded(stage.desk).calls("loop_failed")
    assert await stage.store.manifold(AUD) is not None


async def test_a_source_that_fails_for_all_is_worth_a_retry_and_then_nothing_is_missing():
    stage = await Stage().start()
    stage.source.faults = dict.fromkeys(PAIRS, SourceUnreachableError("down"))
    with pytest.raises(SourceUnreachableError, match="down"):
        await stage.step()
    stage.source.faults.clear()
    await stage.step(1)
    assert same(stage.desk.context.market.series[EUR].candles, stage.held())


async def test_history_that_the_source_has_not_got_now_is_asked_for_at_the_next_step_only():
    stage = await Stage(candle_hot_days=7).start()
    stage.source.page_minutes = 1000
    stage.source.faults[EUR] = SourceUnreachableError("hiccup")
    stage.source.after_pages[EUR] = 2
    await stage.step()
    asked = [start for pair, start, _ in stage.source.asked if pair == EUR]
    assert not stage.desk.context.market.loaded.is_set()
    assert len(asked) <= 4
    stage.source.faults.clear()
    await stage.step(1)
    await stage.step(1)
    assert stage.desk.context.market.loaded.is_set()
    assert same(stage.desk.context.market.series[EUR].candles, stage.held(days=7))
    assert (np.diff((await stage.stored()).t) > 0).all()


async def test_history_that_is_refused_is_not_asked_for_again():
    stage = await Stage(candle_hot_days=7).start()
    stage.source.faults[EUR] = RefusedError("no such instrument")
    await stage.step()
    assert stage.desk.context.market.loaded.is_set()


@pytest.mark.parametrize("first", [True, False])
async def test_what_the_store_could_not_take_is_stored_once_it_is_back(first):
    stage = await Stage(candle_hot_days=7).start()
    if not first:
        await stage.step()
    stage.store.broken.add("put_candles")
    for _ in range(2):
        with pytest.raises(StoreUnreachableError):
            await stage.step(4)
    stage.store.broken.clear()
    await stage.step(4)
    now = stage.clock.now()
    assert same((await stage.stored()).between(now - 6 * DAY_MS, now), stage.held(days=6))
    assert stage.desk.context.market.loaded.is_set()
    assert same(stage.desk.context.market.series[EUR].candles, stage.held(days=7))


async def test_a_store_that_is_away_while_history_comes_loses_none_of_it():
    stage = await Stage(candle_hot_days=7).start()
    put = 0

    def interrupted(name: str) -> bool:
        nonlocal put
        put += name == "put_candles"
        return name == "put_candles" and put == len(PAIRS) + 2  # in the middle of saving the first range of history

    stage.store.fails = interrupted
    with pytest.raises(StoreUnreachableError):
        await stage.step()
    await stage.step(1)
    now = stage.clock.now()
    for pair in PAIRS:
        assert same((await stage.stored(pair)).between(now - 6 * DAY_MS, now), stage.held(pair, 6))
        assert same(stage.desk.context.market.series[pair].candles, stage.held(pair, 7))


async def test_nothing_grows_beyond_the_hot_days_while_the_store_is_away():
    stage = await Stage(candle_hot_days=2).start()
    stage.source.held = {pair: trading(HOLD, NOW + 6 * DAY_MS) for pair in PAIRS}
    await stage.step()
    stage.store.away = True
    for _ in range(10):
        with pytest.raises(StoreUnreachableError):
            await stage.step(12 * 60)
    assert all(series.size <= 2.5 * DAY_MS / MINUTE_MS for series in stage.desk.context.market.series.values())
    stage.store.away = False
    stage.store.calls.clear()
    await stage.step(1)
    assert same((await stage.stored()).between(stage.clock.now() - DAY_MS, stage.clock.now()), stage.held(days=1))
    assert all(backlog.unsaved.size == 0 for backlog in stage.desk.intake._backlogs.values())
    oldest = (await stage.stored()).t[0]
    assert oldest >= stage.clock.now() - 2 * DAY_MS - MINUTE_MS


async def test_history_that_was_half_fetched_under_another_lease_comes_in_once():
    stage = await Stage(candle_hot_days=8).start()
    whole = stage.source.held[EUR]
    stage.source.held[EUR] = whole.between(0, NOW - 3 * DAY_MS)  # nothing recent, so the series is still empty
    saved = 0

    def interrupted(name: str) -> bool:
        nonlocal saved
        saved += name == "put_candles"
        return name == "put_candles" and saved == len(PAIRS)  # the first range of EUR_USD is fetched, and not saved

    stage.store.fails = interrupted
    with pytest.raises(StoreUnreachableError):
        await stage.step()
    await stage.regain()
    stage.source.held[EUR] = whole
    await stage.step(1)
    assert same(stage.desk.context.market.series[EUR].candles, stage.held(days=8))


async def test_candles_older_than_the_history_are_forgotten():
    stage = await Stage().start()
    await stage.step()
    await stage.step(10)
    series = stage.desk.context.market.series[EUR]
    assert int(series.candles.t[0]) == NOW + 10 * MINUTE_MS - 2 * DAY_MS
    assert series.measured == series.size


async def test_a_regained_lease_keeps_the_series_that_is_there():
    stage = await Stage().start()
    await stage.step()
    asked = len(stage.source.asked)
    await stage.regain()
    await stage.step(1)
    assert len(stage.source.asked) == asked + len(PAIRS)
    assert same(stage.desk.context.market.series[EUR].candles, stage.held())


async def test_a_store_that_began_anew_gets_its_candles_back():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    stage.store.inner = store_of(stage.settings, stage.clock)
    assert not (await stage.stored()).size
    stage.clock.moment += MINUTE_MS
    await stage.regain()
    await stage.step()
    assert same(await stage.stored(), stage.held(days=7))


@pytest.mark.parametrize("minutes", [20, 24 * 60])
async def test_a_store_that_went_back_to_an_older_copy_gets_corrected_candles_back(minutes):
    stage = await Stage(candle_hot_days=7).start()
    whole = stage.source.held[EUR]
    last = int(np.searchsorted(whole.t, NOW // MINUTE_MS * MINUTE_MS)) - 1
    stage.source.held[EUR] = whole._replace(volume=np.where(np.arange(whole.size) == last, 7.0, whole.volume))
    await stage.step()
    copy = await stage.stored()
    assert copy.t[-1] == whole.t[last]
    stage.source.held[EUR] = whole
    await stage.step(1)
    await stage.step(minutes - 1)
    assert same(
        (await stage.stored()).between(NOW - 6 * DAY_MS, FOR_EVER),
        stage.held(days=7).between(NOW - 6 * DAY_MS, FOR_EVER),
    )
    stage.store.inner = store_of(stage.settings, stage.clock)
    await stage.store.put_candles(EUR, "M1", copy)
    await stage.regain()
    await stage.step()
    assert same(
        (await stage.stored()).between(NOW - 6 * DAY_MS, FOR_EVER),
        stage.held(days=7).between(NOW - 6 * DAY_MS, FOR_EVER),
    )


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("fault", ["spoilt", "refused"])
async def test_history_that_came_spoilt_or_not_at_all_is_asked_for_again_and_nothing_waits_for_it(fault, absent):
    stage = await Stage(candle_hot_days=7).start()
    if absent:  # the daemon's own history is there, and it was away from the source for hours
        await stage.step()
        stage.clock.moment += 9 * 60 * MINUTE_MS
    whole = stage.source.held[EUR]
    gone = np.isin(whole.t, stage.held(days=7).t[[4000, -400]])
    stage.source.held[EUR] = whole._replace(high=np.where(gone, 0.5, whole.high))
    if fault == "refused":
        stage.source.faults[EUR] = RefusedError("not now")
    await stage.step()
    series = stage.desk.context.market.series[EUR]
    assert stage.desk.context.market.loaded.is_set()
    for _ in range(3):
        await stage.step(20)
    assert not np.isin(whole.t[gone], series.candles.t).all()
    stage.source.held[EUR] = whole
    stage.source.faults.clear()
    for _ in range(6):
        await stage.step(20)
    assert same(series.candles, stage.held(days=7))
    oldest = stage.clock.now() - 6 * DAY_MS
    assert same((await stage.stored()).between(oldest, FOR_EVER), stage.held(days=6))
    asked = len(stage.source.asked)
    await stage.step(1)
    assert len(stage.source.asked) == asked + len(PAIRS)


async def test_a_candle_of_the_history_that_can_never_be_taken_is_given_up():
    stage = await Stage(candle_hot_days=7).start()
    whole = stage.source.held[EUR]
    gone = np.isin(whole.t, stage.held(days=7).t[4000])
    stage.source.held[EUR] = whole._replace(high=np.where(gone, 0.5, whole.high))
    for _ in range(6 * 6):
        await stage.step(10)
    asked = len(stage.source.asked)
    assert asked < len(PAIRS) * (6 * 6 + 3) + 10
    for _ in range(6 * 6):
        await stage.step(10)
    assert len(stage.source.asked) == asked + len(PAIRS) * 6 * 6


async def test_a_candle_that_had_to_be_refused_is_asked_for_until_it_is_had_or_two_hours_are_over():
    stage = await Stage(candle_hot_days=4).start()
    await stage.step()
    await stage.step(1)
    whole = stage.source.held[EUR]
    at = int(np.searchsorted(whole.t, stage.clock.now() // MINUTE_MS * MINUTE_MS))
    stage.source.held[EUR] = whole._replace(high=np.where(np.arange(whole.size) == at, 0.5, whole.high))
    for _ in range(4):
        await stage.step(4)
    assert whole.t[at] not in (await stage.stored()).t
    stage.source.held[EUR] = whole
    await stage.step(4)
    assert same((await stage.stored()).between(NOW, FOR_EVER), stage.held(EUR).between(NOW, FOR_EVER))
    await stage.step(1)
    assert stage.source.asked[-3:][0][1] >= stage.clock.now() - 10 * MINUTE_MS

    later = int(np.searchsorted(whole.t, stage.clock.now() // MINUTE_MS * MINUTE_MS))
    stage.source.held[EUR] = whole._replace(high=np.where(np.arange(whole.size) == later, 0.5, whole.high))
    for _ in range(45):
        await stage.step(4)
    asked = [start for pair, start, _ in stage.source.asked if pair == EUR]
    assert asked[-1] >= stage.clock.now() - 10 * MINUTE_MS


async def test_a_minute_that_comes_late_is_taken_within_the_hour_even_by_a_daemon_that_began_since():
    stage = await Stage(candle_hot_days=4).start()
    await stage.step()
    whole = stage.source.held[EUR]
    at = int(np.searchsorted(whole.t, NOW // MINUTE_MS * MINUTE_MS + 3 * MINUTE_MS))
    stage.source.held[EUR] = whole.take(np.delete(np.arange(whole.size), slice(at, at + 5)))
    await stage.step(20)
    await stage.step(20)
    await stage.start()
    await stage.step(5)
    assert not np.isin(whole.t[at : at + 5], (await stage.stored()).t).any()
    stage.source.held[EUR] = whole
    await stage.step(5)
    assert same(await stage.stored(), stage.held(days=4))
    assert same(stage.desk.context.market.series[EUR].candles, stage.held(days=4))


async def test_a_stored_candle_that_was_spoilt_is_fetched_anew_at_the_next_start():
    stage = await Stage(candle_hot_days=7).start()
    await stage.step()
    spoilt = stage.held(days=7).t[[500, 501, 4000]].tolist()
    await stage.store.inner._backend.put("md:candles:EUR_USD:M1", [(b"spoilt", t) for t in spoilt])
    stage.source.asked.clear()
    await stage.start()
    await stage.step()
    assert same(await stage.stored(), stage.held(days=7))
    fetched = [(start, end) for pair, start, end in stage.source.asked if pair == EUR]
    assert all(any(start <= t < end for start, end in fetched) for t in spoilt)
    assert len(fetched) < 4  # the rest of the history is left alone
