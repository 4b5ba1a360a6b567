"""Warm-up: what is missing, once; days and signals as one long run would give them."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from hotbandd import parts
from hotbandd.adapters.compute import InlineCompute
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.manifold_documents import Form
from hotbandd.core.manifold_run import run_document
from hotbandd.errors import UsageError
from hotbandd.operations.backfill import Backfill, Wanted
from hotbandd.operations.hydrate import Hydrate, faults
from hotbandd.operations.prime import Measure, Prime
from hotbandd.operations.progress import Silent
from hotbandd.operations.warmup import Warmup, parse_steps
from hotbandd.settings import load
from tests.operations.conftest import Outside

PAIRS = ("EUR_USD", "USD_JPY")
NOW = 1_709_645_445_000  # a Tuesday, 13:30:45
SETTINGS = load({"HOTBAND_SOURCE": "simulated"}, None).settings
CALENDAR = parts.calendar(SETTINGS)
MEASURE = Measure("calibrated", Form(1, 4), 60)
ALL = frozenset({"backfill", "prime", "hydrate"})


class Counted:
    """A source that counts what is asked of it, and can fail after some ranges."""

    name = "simulated"

    def __init__(self, fail_after: int | None = None) -> None:
        self.ranges: list[tuple[str, int, int]] = []
        self._source = SimulatedSource()
        self._fail_after = fail_after

    def fetch(self, instrument: str, start_ms: int, end_ms: int):
        self.ranges.append((instrument, start_ms, end_ms))
        if self._fail_after is not None and len(self.ranges) > self._fail_after:
            raise KeyboardInterrupt
        return self._source.fetch(instrument, start_ms, end_ms)

    async def aclose(self) -> None:
        """Nothing to close."""


def warmup(outside: Outside, source: Counted) -> Warmup:
    store, signals = outside.store, outside.signals
    return Warmup(
        Backfill(source, store, CALENDAR, "M1", Silent()),
        Prime(store, signals, outside.artifacts, InlineCompute(), MEASURE, "M1", 90, Silent()),
        Hydrate(store, signals, InlineCompute(), MEASURE, parts.bounds(SETTINGS), "M1", "simulated", Silent()),
        CALENDAR,
    )


async def test_a_cold_store_is_filled_and_a_second_time_only_silent_minutes_are_asked_for(outside: Outside) -> None:
    source = Counted()
    built = warmup(outside, source)
    wanted = Wanted(count=1500, days=6)
    done = await built.run(ALL, PAIRS, wanted, NOW)
    assert await built.faults(ALL, PAIRS, NOW) == []
    for pair in PAIRS:
        assert done["backfill"][pair] > 5000
        assert done["hydrate"][pair]
    asked = len(source.ranges)
    files = {file: file.read_bytes() for file in outside.home.rglob("*.json")}
    again = await built.run(ALL, PAIRS, wanted, NOW)
    assert sum(end - start for _, start, end in source.ranges[asked:]) < 3_600_000 * len(PAIRS)
    assert again["backfill"] == dict.fromkeys(PAIRS, 0)
    assert again["hydrate"] == dict.fromkeys(PAIRS, False)
    assert again["prime"] == done["prime"]
    assert {file: file.read_bytes() for file in outside.home.rglob("*.json")} == files


async def test_an_interrupted_backfill_goes_on_where_it_was(outside: Outside) -> None:
    broken = Counted(fail_after=3)
    with pytest.raises(KeyboardInterrupt):
        await warmup(outside, broken).run(frozenset({"backfill"}), PAIRS, Wanted(0, 20), NOW)
    source = Counted()
    await warmup(outside, source).run(frozenset({"backfill"}), PAIRS, Wanted(0, 20), NOW)
    assert not set(broken.ranges[:3]) & set(source.ranges)
    page = await outside.store.candles("EUR_USD", "M1", NOW - 20 * DAY_MS, NOW)
    expected = [
        p.candles async for p in SimulatedSource().fetch("EUR_USD", NOW - 20 * DAY_MS, NOW // MINUTE_MS * MINUTE_MS)
    ]
    np.testing.assert_array_equal(page.candles.t, np.concatenate([part.t for part in expected]))


@pytest.mark.parametrize("count", [1, 1500, 9000])
def test_a_count_reaches_back_over_closed_markets(count: int) -> None:
    since = Wanted(count).since(CALENDAR, NOW)
    openings = CALENDAR.week_openings(since, NOW)
    minutes = sum(min(end, NOW) - max(start, since) for start, end in openings.tolist()) / MINUTE_MS
    assert count <= minutes < count + 2


async def test_each_day_says_what_one_long_run_says(outside: Outside) -> None:
    await warmup(outside, Counted()).run(frozenset({"backfill", "prime"}), ("EUR_USD",), Wanted(0, 6), NOW)
    candles = (await outside.store.candles("EUR_USD", "M1", 0, NOW)).candles
    whole = run_document(
        candles, "EUR_USD", family="calibrated", profile="strict", precision=1, levels=4, lookback_min=60
    )
    by_day: dict[str, list] = {}
    for signal in whole["signals"]:
        day = np.datetime64((signal["timestamp_ns"] // 1_000_000 - 1) // DAY_MS, "D")
        by_day.setdefault(str(day), []).append(signal)
    days = sorted((outside.home / "output/manifolds/EUR_USD").iterdir())
    assert [file.stem for file in days] == sorted(by_day)[-len(days) :]
    for file in days[-3:]:
        document = json.loads(file.read_bytes())
        assert document["signals"] == by_day[file.stem]
        assert document["count"] >= len(document["signals"])
        packed = await outside.redis.get(f"manifold:EUR_USD:{file.stem}")
        assert packed is not None
        assert gzip.decompress(packed) == file.read_bytes()
        assert await outside.signals.day("EUR_USD", file.stem) == file.read_bytes()


async def test_signals_are_listed_for_their_retention_only(outside: Outside) -> None:
    await warmup(outside, Counted()).run(frozenset({"backfill", "prime"}), ("EUR_USD",), Wanted(0, 12), NOW)
    listed = await outside.redis.zrange("sep:signal_index:EUR_USD", 0, -1, withscores=True)
    newest = await outside.signals.newest_signal("EUR_USD")
    assert newest == int(listed[-1][1]) > NOW - 10 * MINUTE_MS
    assert min(score for _, score in listed) >= newest - 7 * DAY_MS
    fields = await outside.redis.hgetall(listed[0][0])
    assert {b"coherence", b"price", b"state", b"signature"} <= fields.keys()


async def test_a_newer_manifold_stands(outside: Outside) -> None:
    built = warmup(outside, Counted())
    await built.run(ALL, ("EUR_USD",), Wanted(0, 6), NOW)
    newest = await outside.store.manifold("EUR_USD")
    assert newest is not None
    assert not await outside.signals.hydrate(newest)
    assert (await built.run(frozenset({"hydrate"}), ("EUR_USD",), Wanted(0, 6), NOW - DAY_MS))["hydrate"] == {
        "EUR_USD": False
    }
    assert await outside.store.manifold("EUR_USD") == newest


async def test_what_is_missing_or_old_afterwards_is_told(outside: Outside) -> None:
    built = warmup(outside, Counted())
    assert len(await faults(outside.store, outside.signals, PAIRS, CALENDAR, NOW)) == 4
    await built.run(ALL, ("EUR_USD",), Wanted(0, 6), NOW)
    found = await faults(outside.store, outside.signals, ("EUR_USD",), CALENDAR, NOW + 3_600_000)
    assert len(found) == 1
    assert "60 minutes of open market behind" in found[0] or "61 minutes" in found[0]
    saturday = NOW + 4 * DAY_MS
    assert "behind" in (await faults(outside.store, outside.signals, ("EUR_USD",), CALENDAR, saturday))[0]


def test_steps_are_words_of_a_list() -> None:
    assert parse_steps("hydrate, backfill") == {"hydrate", "backfill"}
    for wrong in ("", "backfil", "prime;hydrate"):
        with pytest.raises(UsageError, match="--steps takes some of"):
            parse_steps(wrong)
