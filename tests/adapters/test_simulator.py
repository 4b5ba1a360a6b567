from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.adapters.simulator import DEFAULT_SEED, DEMO_START_MS, Regime, SimulatedSource, describe
from hotbandd.adapters.simulator.draws import Draws
from hotbandd.adapters.simulator.market import week_of
from hotbandd.adapters.simulator.regimes import ERA_DAYS, regime
from hotbandd.adapters.simulator.weeks import DAY_MINUTES, DAYS, MINUTES, day_at, holidays, week_at, week_open
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Floats, check, concatenate, empty

NEW_YORK = ZoneInfo("America/New_York")
PAIRS = ("EUR_USD", "USD_JPY", "GBP_USD", "EUR_JPY", "USD_CAD", "NZD_USD", "AUD_USD", "USD_CHF")
LEVELS = {"EUR_USD": 1.09, "USD_JPY": 149, "GBP_USD": 1.27, "EUR_JPY": 162, "USD_CAD": 1.36, "NZD_USD": 0.61}
LEVELS |= {"AUD_USD": 0.66, "USD_CHF": 0.88}
HOUR_MS = 60 * MINUTE_MS


async def fetched(source: SimulatedSource, instrument: str, start: int, end: int) -> Candles:
    pages = [page.candles async for page in source.fetch(instrument, start, end)]
    return concatenate(pages) if pages else empty()


def assert_same(ours: Candles, theirs: Candles) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=30, deadline=None)
@given(
    instrument=st.sampled_from([*PAIRS, "XAU_USD"]),
    start=st.integers(0, 6 * 7 * 1440),
    minutes=st.integers(0, 15_000),
    cut=st.floats(0, 1),
)
async def test_any_range_in_any_pages_gives_the_very_same_candles(
    instrument: str, start: int, minutes: int, cut: float
) -> None:
    origin = week_open(10)
    first, last = origin + start * MINUTE_MS, origin + (start + minutes) * MINUTE_MS
    middle = first + int(cut * minutes) * MINUTE_MS
    later = await fetched(SimulatedSource(7), instrument, middle, last)
    week_of.cache_clear()
    earlier = await fetched(SimulatedSource(7), instrument, first, middle)
    whole = await fetched(SimulatedSource(7), instrument, origin, origin + 9 * 7 * DAY_MS)
    assert_same(concatenate((earlier, later)), whole.between(first, last))


@pytest.mark.parametrize("instrument", PAIRS[:3])
async def test_minutes_asked_for_one_after_the_other_are_those_of_a_long_range(instrument: str) -> None:
    source, begin = SimulatedSource(7), week_open(10) + 2 * DAY_MS
    whole = await fetched(SimulatedSource(7), instrument, begin, begin + 7 * DAY_MS)
    await fetched(source, instrument, begin - 3 * DAY_MS, begin)
    for moment in range(begin + HOUR_MS, begin + 7 * DAY_MS, 37 * MINUTE_MS):
        first = moment - 40 * MINUTE_MS
        found = await fetched(source, instrument, first, moment)
        assert_same(found, whole.between(first, moment).closed_by(moment))


async def test_another_seed_or_instrument_is_another_market() -> None:
    start, end = week_open(3), week_open(3) + DAY_MS
    one = await fetched(SimulatedSource(1), "EUR_USD", start, end)
    assert not np.array_equal(one.close, (await fetched(SimulatedSource(2), "EUR_USD", start, end)).close)
    assert not np.array_equal(one.close, (await fetched(SimulatedSource(1), "EUR_NOK", start, end)).close)


async def test_only_candles_that_close_by_the_end_are_given() -> None:
    start = week_open(3) + 12 * HOUR_MS
    got = await fetched(SimulatedSource(1), "EUR_USD", start, start + 10 * MINUTE_MS + 59_999)
    assert got.t[-1] == start + 9 * MINUTE_MS


async def test_nothing_is_quoted_before_2024() -> None:
    assert (await fetched(SimulatedSource(1), "EUR_USD", 0, week_open(0))).size == 0


async def test_candles_come_only_within_the_fx_week_of_new_york() -> None:
    got = await fetched(SimulatedSource(5), "EUR_USD", week_open(8), week_open(14))  # over the American change of March
    for t in got.t[np.flatnonzero(np.diff(got.t) > 6 * HOUR_MS)].tolist():
        last = datetime.fromtimestamp(t / 1000, NEW_YORK)
        assert last.weekday() == 4
        assert 16 <= last.hour < 17
    for week in range(8, 14):
        opened = datetime.fromtimestamp(week_open(week) / 1000, NEW_YORK)
        assert (opened.weekday(), opened.hour, opened.minute) == (6, 17, 0)
    assert {datetime.fromtimestamp(week_open(week) / 1000, UTC).hour for week in range(8, 14)} == {21, 22}


@given(st.integers(0, 500), st.integers(0, 7 * DAY_MS - 1))
def test_the_week_of_a_moment_holds_it(week: int, offset: int) -> None:
    moment = week_open(week) + offset
    held = week_at(moment)
    assert week_open(held) <= moment < week_open(held + 1)
    assert held * DAYS <= day_at(moment) < (held + 1) * DAYS


def test_christmas_and_new_year_are_closed() -> None:
    christmas = int(datetime(2024, 12, 25, 12, tzinfo=UTC).timestamp()) * 1000
    week = week_at(christmas)
    assert holidays(week) == [2]
    candles = week_of(DEFAULT_SEED, "EUR_USD", week)
    closed_from = int(datetime(2024, 12, 24, 17, tzinfo=NEW_YORK).timestamp()) * 1000
    assert candles.between(closed_from, closed_from + DAY_MS).size == 0
    assert candles.between(closed_from - DAY_MS, closed_from).size > 1200
    assert holidays(0) == [0]


@pytest.mark.parametrize("instrument", [*PAIRS, "XAU_USD", "CHF_JPY"])
def test_prices_are_possible_and_near_their_level(instrument: str) -> None:
    candles = concatenate(week_of(11, instrument, week) for week in range(2, 120, 13))
    assert not check(candles).refused
    level = LEVELS.get(instrument, float(np.median(candles.close)))
    assert (abs(np.log(candles.close / level)) < 0.08).all()
    assert (candles.ask > candles.bid).all()
    assert (candles.volume >= 1).all()
    spread = 1e4 * np.median((candles.ask - candles.bid) / candles.close)
    assert 0.5 < spread < 6
    decimals = 3 if instrument.endswith("_JPY") else 5
    for column in (*candles[1:5], candles.bid, candles.ask):
        np.testing.assert_array_equal(column, np.round(column, decimals))


@pytest.mark.parametrize("instrument", PAIRS)
def test_weekends_gap_a_little_and_levels_go_on(instrument: str) -> None:
    for week in range(30, 60):
        before, after = week_of(2, instrument, week), week_of(2, instrument, week + 1)
        assert abs(1e4 * np.log(after.open[0] / before.close[-1])) < 60


def steps_of(seed: int, instrument: str, kind: Regime, days: int = 60) -> list[Floats]:
    """Return the minutes' returns in bps of the whole days in a regime."""
    found = []
    for day in range(days):
        if regime(seed, instrument, day) is not kind:
            continue
        candles = week_of(seed, instrument, day // DAYS)
        start = week_open(day // DAYS) + day % DAYS * DAY_MS
        close = candles.between(start, start + DAY_MS).close
        if len(close) > 500:
            found.append(1e4 * np.diff(np.log(close)))
    return found


def variance_ratio(days: list[Floats], minutes: int) -> float:
    """Return the variance over some minutes against that of as many independent ones."""
    sums = np.concatenate([day[: len(day) // minutes * minutes].reshape(-1, minutes).sum(axis=1) for day in days])
    return float(np.var(sums) / (minutes * np.var(np.concatenate(days))))


@pytest.mark.parametrize("instrument", ["EUR_USD", "USD_JPY", "NZD_USD"])
def test_regimes_can_be_told_apart(instrument: str) -> None:
    days = {kind: [day for seed in range(4) for day in steps_of(seed, instrument, kind)] for kind in Regime}
    assert all(len(found) >= 5 for found in days.values())
    assert variance_ratio(days[Regime.TRENDING], 120) > 2.0
    assert variance_ratio(days[Regime.REVERTING], 120) < 0.4
    dead, lively = (float(np.std(np.concatenate(days[kind]))) for kind in (Regime.DEAD, Regime.TRENDING))
    assert dead < 0.25 * lively


def test_a_regime_lasts_at_least_four_days_and_all_occur() -> None:
    seen: Counter[Regime] = Counter()
    for instrument in PAIRS:
        days = [regime(3, instrument, day) for day in range(40 * ERA_DAYS)]
        seen.update(days)
        changes = np.flatnonzero([a is not b for a, b in pairwise(days)]) + 1
        assert np.diff(changes).min() >= 4
        assert np.diff(changes).mean() > 6
    shares = {kind: count / seen.total() for kind, count in seen.items()}
    assert 0.4 < shares[Regime.TRENDING] < 0.6
    assert shares[Regime.REVERTING] > 0.2
    assert shares[Regime.DEAD] > 0.1


def test_steps_have_fat_tails_and_the_day_a_rhythm() -> None:
    candles = concatenate(week_of(4, "GBP_USD", week) for week in range(12))
    steps = 1e4 * np.diff(np.log(candles.close))
    assert float(np.mean(steps**4) / np.mean(steps**2) ** 2) > 4
    minute = (candles.t - week_open(0)) // MINUTE_MS % DAY_MINUTES
    lively, quiet = (minute // 60 == 15), (minute // 60 == 23)
    assert np.median(candles.volume[lively]) > 2 * np.median(candles.volume[quiet])
    assert candles.t[quiet].size < 0.99 * candles.t[lively].size


@pytest.mark.parametrize("instrument", PAIRS)
def test_some_minutes_are_missing_but_most_are_there(instrument: str) -> None:
    sizes = [week_of(6, instrument, week).size for week in range(1, 12)]
    assert all(0.8 * MINUTES < size < MINUTES for size in sizes)


def test_the_default_description_is_that_of_the_default_market() -> None:
    moment = DEMO_START_MS
    assert [describe(pair, moment) for pair in PAIRS] == [SimulatedSource().describe(pair, moment) for pair in PAIRS]
    assert describe("EUR_USD", week_open(4)) is regime(DEFAULT_SEED, "EUR_USD", 4 * DAYS)
    assert describe("EUR_USD", week_open(5) - HOUR_MS) is regime(DEFAULT_SEED, "EUR_USD", 4 * DAYS + 4)


def test_draws_never_change_between_versions() -> None:
    drawn = Draws(1, "EUR_USD", "test").uniform(3)
    np.testing.assert_allclose(
        drawn, [0.11738389672141564, 0.47762285713058733, 0.3976472393171135], rtol=0, atol=1e-15
    )
    assert week_of(DEFAULT_SEED, "EUR_USD", 1).close[[0, 99, -1]].tolist() == [1.07649, 1.07706, 1.07569]


def test_draws_are_uniform_and_normal() -> None:
    uniform, normal = Draws(1, "A", "u").uniform(20_000), Draws(1, "A", "n").normal(20_000)
    assert 0 < uniform.min() < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.03


def test_a_week_cannot_be_changed_by_whoever_gets_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        week_of(1, "EUR_USD", 1).close[0] = 2.0


def test_the_demo_starts_in_the_middle_of_a_week_with_ninety_five_days_behind() -> None:
    start = datetime.fromtimestamp(DEMO_START_MS / 1000, UTC)
    assert start.weekday() in {1, 2}
    assert DEMO_START_MS % 900_000 == 0
    assert start - timedelta(days=95) > datetime(2024, 1, 1, tzinfo=UTC)
