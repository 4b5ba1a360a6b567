"""Trials: every combination is run as it would be alone, stored as it comes, and not twice after an interruption."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import pytest

from hotbandd import parts
from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.simulator import DEFAULT_SEED
from hotbandd.adapters.simulator.market import week_of
from hotbandd.adapters.simulator.weeks import week_at
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core import backtest, manifold, trials, winners
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, concatenate
from hotbandd.core.series import Series
from hotbandd.core.trials import Spec
from hotbandd.errors import InputError, SettingsError, StoreUnreachableError, UnhealthyError
from hotbandd.operations import trials as operation
from hotbandd.operations.progress import Silent
from hotbandd.operations.trials import Trials
from hotbandd.settings import load
from tests.archives import all_runs
from tests.operations.conftest import Outside

NOW = 1_718_800_200_000
PAIRS = ("EUR_USD", "USD_JPY")
SETTINGS = load({"HOTBAND_SOURCE": "simulated", "HOTBAND_PAIRS": ",".join(PAIRS)}, None).settings
DOCUMENT = {
    "window_days": 20,
    "defaults": {"c_min": [0.3, 0.5], "dir_threshold_bps": [1.0, 2.0]},
    "instruments": [
        {"instrument": "EUR_USD", "overrides": {"direction_lookback": [6, 12, 24]}},
        {"instrument": "USD_JPY"},
    ],
}
SPEC = trials.parse(DOCUMENT, ("combined",))


@lru_cache(maxsize=2)
def market(pair: str) -> Candles:
    weeks = range(week_at(NOW - 60 * DAY_MS), week_at(NOW) + 1)
    return concatenate(week_of(DEFAULT_SEED, pair, week) for week in weeks).between(NOW - 60 * DAY_MS, NOW)


class Counted(InlineCompute):
    """Counts the parameter sets that are run."""

    def __init__(self) -> None:
        self.sets = 0

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.sets += len(args[3]) if function is operation.sweep.sweep else 0  # the parameter sets
        return await super().run(function, *args, **kwargs)


@pytest.fixture
async def archive(outside: Outside, valkey_url: str) -> AsyncIterator[ValkeyTrials]:
    for pair in PAIRS:
        await outside.store.put_candles(pair, "M1", market(pair))
    backend = ValkeyBackend(valkey_url)
    yield ValkeyTrials(backend)
    await backend.aclose()


def runner(outside: Outside, archive: Any, compute: Any = None, holder: str = "test") -> Trials:
    return Trials(
        store=outside.store,
        archive=archive,
        compute=compute or InlineCompute(),
        calendar=parts.calendar(SETTINGS),
        setup=parts.setup(SETTINGS),
        default_setup=parts.default_setup(),
        base=dict.fromkeys(SPEC.instruments, parts.params(SETTINGS)),
        family="calibrated",
        granularity="M1",
        holder=holder,
        progress=Silent(),
    )


async def test_every_combination_is_stored_as_a_run_of_its_own_tells_it(
    outside: Outside, archive: ValkeyTrials
) -> None:
    done = await runner(outside, archive).run(SPEC, NOW)
    assert (done.total, done.now, done.before) == (16, 16, 0)
    runs = await all_runs(archive)
    assert sorted((run.instrument, trials_of(run.params)) for run in runs) == sorted(
        (pair, trials_of(params))
        for pair in PAIRS
        for params in trials.combinations(SPEC, pair, parts.params(SETTINGS))
    )
    run = next(run for run in runs if run.instrument == "EUR_USD" and run.summary.trades > 5)
    alone = backtest.evaluate(request(run.params))
    assert run.summary == alone.figures.spans["20"]
    assert sum(run.daily) == pytest.approx(alone.trades.ret.sum())
    assert len(run.daily) == 20
    trades = await archive.trades(run.run_id)
    assert trades is not None
    assert [row.entry_ms for row in trades.trades] == alone.trades.entry_ms.tolist()


async def test_only_the_best_stand_one_by_one_and_with_their_trades_the_others_in_packs(
    outside: Outside, archive: ValkeyTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "BEST", 3)
    await runner(outside, archive).run(SPEC, NOW)
    runs = await all_runs(archive)
    best = {run.run_id for pair in PAIRS for run in winners.ranked(run for run in runs if run.instrument == pair)[:3]}
    assert (len(runs), len(best)) == (16, 6)
    assert {name.decode() for name in await outside.redis.zrange("bt:trial:index", 0, -1)} == best
    assert {
        key.decode().removeprefix("bt:trial:trades:") for key in await outside.redis.keys("bt:trial:trades:*")
    } == best
    packs = await outside.redis.keys("bt:trial:pack:*")
    assert len(packs) == len(PAIRS)
    packed = [run for key in packs for run in json.loads(gzip.decompress(await outside.redis.get(key)))["runs"]]
    assert {run["run_id"] for run in packed} == {run.run_id for run in runs}


def trials_of(params: Any) -> tuple[Any, ...]:
    return params.c_min, params.direction_lookback, params.dir_threshold_bps


def request(params: Any) -> backtest.Request:
    series = Series()
    series.add(market("EUR_USD").between(NOW - (20 + operation.BEFORE_DAYS) * DAY_MS, NOW))
    manifold.measure_series(series, "calibrated")
    calendar, setup = parts.calendar(SETTINGS), parts.setup(SETTINGS)
    return backtest.request_of("EUR_USD", series.candles, series.metrics, calendar, setup, params, days=20)


async def test_days_are_those_of_the_exits_counted_back_from_the_end(outside: Outside, archive: ValkeyTrials) -> None:
    await runner(outside, archive).run(SPEC, NOW)
    run = max(await all_runs(archive), key=lambda run: run.summary.trades)
    trades = await archive.trades(run.run_id)
    assert trades is not None
    end = market(run.instrument).t[-1] + MINUTE_MS
    sums = dict.fromkeys(range(20), 0.0)
    for row in trades.trades:
        back = next(back for back in range(20) if row.exit_ms > end - (back + 1) * DAY_MS)
        sums[19 - back] += row.ret
    assert run.daily == pytest.approx(list(sums.values()))


class Failing:
    """An archive that Valkey goes away from after some parts."""

    def __init__(self, archive: ValkeyTrials, parts_left: int) -> None:
        self._archive = archive
        self._left = parts_left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    async def put_pack(self, *args: Any) -> None:
        if self._left == 0:
            raise StoreUnreachableError("nobody answers")
        self._left -= 1
        await self._archive.put_pack(*args)


async def test_an_interrupted_run_is_gone_on_with(
    outside: Outside, archive: ValkeyTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "SET_DAYS_A_TASK", 4 * 20)
    with pytest.raises(BaseExceptionGroup) as fault:
        await runner(outside, Failing(archive, 2)).run(SPEC, NOW)
    assert fault.group_contains(StoreUnreachableError)
    compute = Counted()
    done = await runner(outside, archive, compute).run(SPEC, NOW + 3_600_000)
    assert 4 <= done.before <= 8  # one part of four may have been in the air
    assert (done.total, done.now, compute.sets) == (16, 16 - done.before, 16 - done.before)
    assert len(await all_runs(archive)) == 16
    assert len({run.run_id for run in await all_runs(archive)}) == 16
    assert {run.ts for run in await all_runs(archive)} == {NOW}
    again = await runner(outside, archive).run(SPEC, NOW + DAY_MS)
    assert (again.now, again.before) == (16, 0)
    assert {run.ts for run in await all_runs(archive)} == {NOW + DAY_MS}


class Vanishing(InlineCompute):
    """Cancels a call that nobody asked to cancel, as a library may that shares a task among callers."""

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        raise asyncio.CancelledError


async def test_a_run_that_ends_without_a_word_is_no_success_and_can_be_gone_on_with(
    outside: Outside, archive: ValkeyTrials
) -> None:
    with pytest.raises(BaseExceptionGroup) as fault:
        await runner(outside, archive, Vanishing()).run(SPEC, NOW)
    assert fault.group_contains(
        UnhealthyError, match=r"^0 of 16 combinations ran; run the same command again to go on\.$"
    )
    done = await runner(outside, archive).run(SPEC, NOW + 1000)
    assert (done.now, done.before) == (16, 0)
    assert {run.ts for run in await all_runs(archive)} == {NOW}


async def test_an_interruption_of_long_ago_begins_anew(
    outside: Outside, archive: ValkeyTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "SET_DAYS_A_TASK", 4 * 20)
    with pytest.raises(BaseExceptionGroup):
        await runner(outside, Failing(archive, 2)).run(SPEC, NOW)
    done = await runner(outside, archive).run(SPEC, NOW + DAY_MS)
    assert (done.now, done.before) == (16, 0)
    assert {run.ts for run in await all_runs(archive)} == {NOW + DAY_MS}


async def test_two_at_once_are_refused_and_the_lock_is_free_afterwards(outside: Outside, archive: ValkeyTrials) -> None:
    assert await archive.lock("somebody else")
    with pytest.raises(UnhealthyError, match="Trials run already"):
        await runner(outside, archive).run(SPEC, NOW)
    assert await all_runs(archive) == []
    await archive.unlock("somebody else")
    await runner(outside, archive).run(SPEC, NOW)
    assert await outside.redis.get("bt:trial:lock") is None


async def test_an_instrument_without_candles_stops_the_run_before_it_begins(
    outside: Outside, archive: ValkeyTrials
) -> None:
    document = {"instruments": [{"instrument": "EUR_USD"}, {"instrument": "AUD_USD"}]}
    spec: Spec = trials.parse(document, ("combined",))
    with pytest.raises(BaseExceptionGroup) as fault:
        await runner(outside, archive).run(spec, NOW)
    assert fault.group_contains(InputError, match="no stored candles of AUD_USD")
    assert await all_runs(archive) == []
    assert await outside.redis.get("bt:trial:lock") is None


async def test_a_currency_without_a_session_stops_the_run_before_it_begins(
    outside: Outside, archive: ValkeyTrials
) -> None:
    await outside.store.put_candles("EUR_XXX", "M1", market("EUR_USD"))
    spec: Spec = trials.parse({"instruments": [{"instrument": "EUR_USD"}, {"instrument": "EUR_XXX"}]}, ("combined",))
    with pytest.raises(BaseExceptionGroup) as fault:
        await runner(outside, archive).run(spec, NOW)
    assert fault.group_contains(SettingsError, match="No session is known for XXX")
    assert await all_runs(archive) == []
