"""Runs of trials in a real Valkey: what was stored comes back, lives as long as it should, and one runs at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

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

NOW = 1_718_800_200_000
PARAMS = Params(c_min="p80", direction_lookback=12, dir_threshold_bps=2.0)
SPEC = "0123456789ab"
TRADE = TradeRow(side="long", entry_ms=1, exit_ms=2, entry=1.1, exit=1.2, ret=0.1, reason="tp", mae=0.0, mfe=0.1)


def run(number: int = 0, ts: int = NOW) -> TrialRun:
    return TrialRun(
        run_id=f"{SPEC}-EUR_USD-{number}",
        ts=ts,
        end_ms=ts - 60_000,
        instrument="EUR_USD",
        param_key=f"k{number}",
        params=PARAMS,
        window_days=60,
        summary=samples.SPAN,
        spec=SPEC,
        daily=[0.1, -0.2],
        sharpe=0.3,
    )


@pytest.fixture
async def archive(raw: Redis, valkey_url: str) -> AsyncIterator[ValkeyTrials]:
    backend = ValkeyBackend(valkey_url)
    yield ValkeyTrials(backend)
    await backend.aclose()


async def test_runs_come_back_in_the_order_of_time_with_their_combinations_finished(archive: ValkeyTrials) -> None:
    runs = {f"EUR_USD:k{n}": run(n, NOW + n) for n in range(PART + 5)}
    await archive.put_runs(SPEC, runs)
    assert await archive.runs(0) == list(runs.values())
    assert await archive.runs(NOW + PART) == [run(n, NOW + n) for n in range(PART, PART + 5)]
    assert await archive.finished(SPEC) == set(runs)
    assert await archive.finished("another") == set()
    await archive.complete(SPEC)
    assert await archive.finished(SPEC) == set()
    assert len(await archive.runs(0)) == PART + 5


async def test_a_run_that_began_and_did_not_end_is_remembered_with_its_moment(
    archive: ValkeyTrials, raw: Redis
) -> None:
    assert await archive.started(SPEC) is None
    await archive.begin(SPEC, NOW)
    await archive.put_runs(SPEC, {"a": run(1)})
    await raw.sadd(f"bt:trial:progress:{SPEC}", b"\xff", "@later")
    assert await archive.started(SPEC) == NOW
    assert "a" in await archive.finished(SPEC)
    await archive.complete(SPEC)
    assert await archive.started(SPEC) is None


async def test_runs_of_one_moment_are_all_listed_and_a_repeated_one_once(archive: ValkeyTrials, raw: Redis) -> None:
    await archive.put_runs(SPEC, {"a": run(1), "b": run(2)})
    await archive.put_runs(SPEC, {"a": replace(run(1), ts=NOW + 5)})
    assert [found.run_id for found in await archive.runs(0)] == [run(2).run_id, run(1).run_id]
    assert await raw.zscore("bt:trial:index", run(1).run_id) == NOW + 5


async def test_what_is_older_than_thirty_days_is_not_listed_and_expires(archive: ValkeyTrials, raw: Redis) -> None:
    await archive.put_runs(SPEC, {"a": run(1, NOW - 31 * DAY_MS)})
    await archive.put_runs(SPEC, {"b": run(2)})
    assert [found.run_id for found in await archive.runs(0)] == [run(2).run_id]
    await archive.put_trades(TrialTrades(run_id="x", trades=[TRADE]))
    for key in (f"bt:trial:run:{run(2).run_id}", "bt:trial:trades:x", f"bt:trial:progress:{SPEC}"):
        assert 29 * DAY_MS < await raw.pttl(key) <= 30 * DAY_MS


async def test_corrupt_expired_and_foreign_runs_are_left_out(archive: ValkeyTrials, raw: Redis) -> None:
    await archive.put_runs(SPEC, {"a": run(1), "b": run(2), "c": run(3)})
    await raw.set(f"bt:trial:run:{run(1).run_id}", b'{"schema":2}')
    await raw.delete(f"bt:trial:run:{run(2).run_id}")
    await raw.zadd("bt:trial:index", {b"\xff\xfe": NOW})
    assert await archive.runs(0) == [run(3)]


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
