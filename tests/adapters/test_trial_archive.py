"""Runs of trials in a real Valkey: what was stored comes back, lives as long as it should, and one runs at a time."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from functools import partial

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from hotbandd.adapters.store import trials as store
from hotbandd.adapters.store.trials import PART, ValkeyTrials
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import Params
from hotbandd.core.trial_documents import (
    GLOBAL,
    BestConfig,
    LiveConfigChanged,
    Luck,
    ReportDocument,
    TradeRow,
    TrialRun,
    TrialTrades,
)
from hotbandd.errors import CorruptPayloadError
from tests.adapters import store_samples as samples
from tests.archives import all_runs

NOW = 1_718_800_200_000
PARAMS = Params(c_min="p80", direction_lookback=12, dir_threshold_bps=2.0)
SPEC = "0123456789ab"
TRADE = TradeRow(side="long", entry_ms=1, exit_ms=2, entry=1.1, exit=1.2, ret=0.1, reason="tp", mae=0.0, mfe=0.1)


def run(number: int = 0, ts: int = NOW, instrument: str = "EUR_USD", spec: str = SPEC) -> TrialRun:
    return TrialRun(
        run_id=f"{spec}-{instrument}-{number}",
        ts=ts,
        end_ms=ts - 60_000,
        instrument=instrument,
        param_key=f"k{number}",
        params=PARAMS,
        window_days=60,
        summary=samples.SPAN,
        spec=spec,
        daily=[0.1, -0.2],
        sharpe=0.3,
    )


@pytest.fixture
async def archive(raw: Redis, valkey_url: str) -> AsyncIterator[ValkeyTrials]:
    backend = ValkeyBackend(valkey_url)
    yield ValkeyTrials(backend)
    await backend.aclose()


async def test_packed_runs_come_back_in_the_order_of_time_with_their_packs_finished(archive: ValkeyTrials) -> None:
    runs = [run(n, NOW) for n in range(PART + 5)]
    await archive.put_pack(SPEC, runs[:60])
    await archive.put_pack(SPEC, runs[60:])
    for n in (1000, 1001):
        await archive.put_pack("another", [run(n, NOW + n)])
    assert sorted(await all_runs(archive), key=lambda run: int(run.param_key[1:])) == [
        *runs,
        run(1000, NOW + 1000),
        run(1001, NOW + 1001),
    ]
    assert await all_runs(archive, NOW + 1001) == [run(1001, NOW + 1001)]
    assert await archive.finished(SPEC) == {run(0).run_id, run(60).run_id}
    assert await archive.packed([run(60).run_id, "nobody's"]) == runs[60:]
    await archive.complete(SPEC)
    assert await archive.finished(SPEC) == set()
    assert len(await all_runs(archive)) == PART + 7


async def test_runs_one_by_one_are_listed_and_each_counts_once_wherever_it_stands(
    archive: ValkeyTrials, raw: Redis
) -> None:
    runs = [run(n, NOW + n) for n in range(PART + 5)]
    await archive.put_runs(runs)
    assert await all_runs(archive) == runs
    await archive.put_pack(SPEC, [replace(run(1), ts=NOW + 5000), run(2, NOW)])
    found = await all_runs(archive)
    assert len(found) == len(runs)
    assert found[-1] == replace(run(1), ts=NOW + 5000)
    assert run(2, NOW + 2) in found
    assert await raw.zscore("bt:trial:index", run(3).run_id) == NOW + 3


async def test_a_run_that_began_and_did_not_end_is_remembered_with_its_moment(
    archive: ValkeyTrials, raw: Redis
) -> None:
    assert await archive.started(SPEC) is None
    await archive.begin(SPEC, NOW)
    await archive.put_pack(SPEC, [run(1)])
    await raw.sadd(f"bt:trial:progress:{SPEC}", b"\xff", "@later")
    assert await archive.started(SPEC) == NOW
    assert run(1).run_id in await archive.finished(SPEC)
    await archive.complete(SPEC)
    assert await archive.started(SPEC) is None


async def test_what_is_older_than_thirty_days_is_not_listed_and_expires(archive: ValkeyTrials, raw: Redis) -> None:
    for number, put in enumerate((archive.put_runs, partial(archive.put_pack, SPEC))):
        await put([run(10 * number, NOW - 31 * DAY_MS)])
        await put([run(10 * number + 1)])
    assert [found.run_id for found in await all_runs(archive)] == [run(1).run_id, run(11).run_id]
    await archive.put_trades(TrialTrades(run_id="x", trades=[TRADE]))
    for key in (
        f"bt:trial:run:{run(1).run_id}",
        f"bt:trial:pack:{run(11).run_id}",
        "bt:trial:trades:x",
        f"bt:trial:progress:{SPEC}",
    ):
        assert 29 * DAY_MS < await raw.pttl(key) <= 30 * DAY_MS


async def test_corrupt_expired_and_foreign_runs_and_packs_are_left_out(archive: ValkeyTrials, raw: Redis) -> None:
    await archive.put_runs([run(1), run(2), run(3)])
    await raw.set(f"bt:trial:run:{run(1).run_id}", b'{"schema":2}')
    await raw.delete(f"bt:trial:run:{run(2).run_id}")
    await raw.zadd("bt:trial:index", {b"\xff\xfe": NOW})
    for number in range(4, 9):
        await archive.put_pack(SPEC, [run(number)])
    whole = await raw.get(f"bt:trial:pack:{run(5).run_id}")
    await raw.set(f"bt:trial:pack:{run(4).run_id}", b"no gzip")
    await raw.set(f"bt:trial:pack:{run(5).run_id}", whole[:-20])
    await raw.set(f"bt:trial:pack:{run(6).run_id}", gzip.compress(b'{"schema":2}'))
    await raw.delete(f"bt:trial:pack:{run(7).run_id}")
    assert await all_runs(archive) == [run(3), run(8)]


async def test_runs_of_another_trial_than_their_listing_names_are_left_out(archive: ValkeyTrials) -> None:
    await archive.put_pack(SPEC, [run(1), run(2, instrument="USD_JPY"), run(3, NOW - 1), run(4, spec="0" * 12)])
    await archive.put_runs([replace(run(5), instrument="USD_JPY"), run(6)])
    (trial,) = (await archive.listed(0))["EUR_USD"]
    assert (trial.packs, set(trial.alone)) == ((run(1).run_id,), {run(5).run_id, run(6).run_id})
    assert await archive.runs(trial) == [run(1), run(6)]
    assert list(await archive.listed(0)) == ["EUR_USD"]


async def test_instruments_are_listed_in_alphabetical_order_and_their_trials_newest_first(
    archive: ValkeyTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE", 7)
    old, new = "ffffffffffff", "000000000000"
    names = [f"{first}AA_USD" for first in "QCXA"]
    for name in names:
        for n in range(3):
            await archive.put_pack(old, [run(n, NOW - 5, name, old)])
            await archive.put_pack(new, [run(n, NOW, name, new)])
        await archive.put_runs([run(3, NOW, name, new), run(0, NOW, name, new)])
    found = await archive.listed(0)
    assert list(found) == sorted(names)
    for name, trials in found.items():
        assert [(one.instrument, one.ts, one.spec) for one in trials] == [(name, NOW, new), (name, NOW - 5, old)]
        assert [sorted(one.packs) for one in trials] == [
            [run(n, instrument=name, spec=spec).run_id for n in range(3)] for spec in (new, old)
        ]
        assert [len(one.alone) for one in trials] == [2, 0]
        assert await archive.runs(trials[0]) == [run(n, NOW, name, new) for n in range(4)]
    assert [len(trials) for trials in (await archive.listed(NOW - 5)).values()] == [2] * 4
    assert [len(trials) for trials in (await archive.listed(NOW - 4)).values()] == [1] * 4
    assert await archive.listed(NOW + 1) == {}


async def test_of_two_specs_at_one_moment_the_later_name_is_the_newer(archive: ValkeyTrials) -> None:
    for spec in ("aaaaaaaaaaaa", "cccccccccccc", "bbbbbbbbbbbb"):
        await archive.put_pack(spec, [run(1, NOW, spec=spec)])
    assert [trial.spec[0] for trial in (await archive.listed(0))["EUR_USD"]] == ["c", "b", "a"]


async def test_runs_that_stand_alone_are_read_where_no_pack_holds_them_any_more(
    archive: ValkeyTrials, raw: Redis
) -> None:
    await archive.put_pack(SPEC, [run(1), run(2)])
    await archive.put_pack(SPEC, [run(3)])
    await archive.put_runs([run(2), run(3)])
    (trial,) = (await archive.listed(0))["EUR_USD"]
    await raw.set(f"bt:trial:run:{run(2).run_id}", b"never read")
    before = (await raw.info("commandstats"))["cmdstat_mget"]["calls"]
    assert await archive.runs(trial) == [run(1), run(2), run(3)]
    assert (await raw.info("commandstats"))["cmdstat_mget"]["calls"] == before + 1
    await raw.delete(f"bt:trial:pack:{run(3).run_id}")
    assert await archive.runs(trial) == [run(1), run(2), run(3)]
    await raw.delete(f"bt:trial:pack:{run(1).run_id}")
    assert await archive.runs(trial) == [run(3)]


async def test_a_pack_that_swells_without_end_is_left_out(
    archive: ValkeyTrials, raw: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await archive.put_pack(SPEC, [run(1)])
    monkeypatch.setattr(store, "PACK_BYTES", 100)
    assert await archive.packed([run(1).run_id]) == []


async def test_trades_best_configs_and_the_report_come_back(archive: ValkeyTrials, raw: Redis) -> None:
    luck = Luck(trials=60, deflated_sharpe=None, pbo=0.4, walk_forward=[], words="it may be luck")
    best = BestConfig(
        instrument=GLOBAL, param_key="k", params=PARAMS, env={"A": "1"}, summary=samples.SPAN, ts=NOW, luck=luck
    )
    report = ReportDocument(filename="last_14d_report.md", content="# Report", ts=NOW, days=14, instruments=["EUR_USD"])
    assert (await archive.trades("x"), await archive.best(GLOBAL), await archive.report()) == (None, None, None)
    await archive.put_trades(TrialTrades(run_id="x", trades=[TRADE]))
    await archive.put_best(best)
    await archive.put_report(report)
    found = await archive.trades("x")
    assert found is not None
    assert found.trades == [TRADE]
    assert (await archive.best(GLOBAL), await archive.report()) == (best, report)
    for key in ("opt:best_config:GLOBAL", "opt:backtests:report:latest"):
        assert 13 * DAY_MS < await raw.pttl(key) <= 14 * DAY_MS
    await raw.set("opt:best_config:GLOBAL", b"garbage")
    with pytest.raises(CorruptPayloadError, match="opt:best_config:GLOBAL"):
        await archive.best(GLOBAL)


async def test_one_holder_runs_trials_at_a_time(archive: ValkeyTrials, raw: Redis) -> None:
    assert await archive.lock("a")
    assert not await archive.lock("b")
    await raw.pexpire("bt:trial:lock", 1000)
    assert await archive.lock("a")
    assert await raw.pttl("bt:trial:lock") > 50_000
    await archive.unlock("b")
    assert not await archive.lock("b")
    await archive.unlock("a")
    assert await archive.lock("b")


async def test_a_promotion_is_heard_on_the_channel_of_its_instrument(archive: ValkeyTrials, raw: Redis) -> None:
    change = LiveConfigChanged(instrument="EUR_USD", params=None, ts=NOW)
    async with raw.pubsub() as listening:
        await listening.subscribe("opt:live_config:changed:EUR_USD")
        await listening.get_message(timeout=5)
        await archive.announce(change)
        message = await listening.get_message(ignore_subscribe_messages=True, timeout=5)
    assert message is not None
    assert message["data"] == b'{"schema":1,"instrument":"EUR_USD","params":null,"ts":%d}' % NOW
