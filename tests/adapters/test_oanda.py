from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from hotbandd.adapters.oanda import Limits, OandaSource
from hotbandd.core.candle_json import decode_rows
from hotbandd.core.candles import MINUTE_MS, Candles, concatenate, empty, of_columns
from hotbandd.errors import RefusedError, SourceUnreachableError
from tests.fake_oanda import ACCOUNT, TOKEN, FakeOanda, Fault, fake_oanda

START = 1_735_689_600_000
QUICK = Limits(
    retry_first_sec=0.01, retry_max_sec=0.05, deadline_sec=5.0, new_connections_per_sec=1000.0, body_bytes=2_000_000
)
PASSING = [Fault.THROTTLED, Fault.UNAVAILABLE, Fault.CLOSE, Fault.CUT_BODY, Fault.TRUNCATED_JSON, Fault.GARBAGE]
PASSING += [Fault.OVERSIZED, Fault.DEPTH_BOMB, Fault.OTHER_INSTRUMENT]


def walk(minutes: int) -> Candles:
    close = np.round(1.1 + 1e-4 * np.sin(np.arange(minutes) / 9.0), 5)
    volume = (1 + np.arange(minutes) % 50).astype(np.float64)
    t = START + MINUTE_MS * np.arange(minutes, dtype=np.int64)
    above, below = np.round(close + 1e-5, 5), np.round(close - 1e-5, 5)
    return of_columns(t, close, above, below, close, volume, below, above)


@dataclass
class Feed:
    server: FakeOanda
    source: OandaSource
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    async def get(self, start: int, end: int) -> Candles:
        pages = [page async for page in self.source.fetch("EUR_USD", start, end)]
        for page in pages:
            self.refused.update(page.refused)
        return concatenate(page.candles for page in pages) if pages else empty()


@asynccontextmanager
async def feed(
    minutes: int, *, now: int | None = None, limits: Limits = QUICK, page_minutes: int = 5000
) -> AsyncIterator[Feed]:
    outcomes: Counter[str] = Counter()
    now = START + minutes * MINUTE_MS if now is None else now
    async with fake_oanda({"EUR_USD": walk(minutes)}, now) as server:
        source = OandaSource(
            TOKEN,
            "practice",
            account_id=ACCOUNT,
            base_url=server.url,
            on_request=lambda outcome: outcomes.update([outcome]),
            page_minutes=page_minutes,
            limits=limits,
        )
        try:
            yield Feed(server, source, outcomes)
        finally:
            await source.aclose()


def assert_same(got: Candles, wanted: Candles) -> None:
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("fault", PASSING)
async def test_a_passing_fault_is_retried_and_costs_no_candle_and_repeats_none(fault: Fault) -> None:
    async with feed(400, page_minutes=100) as f:
        f.server.misbehave(fault, fault)
        assert_same(await f.get(START, START + 400 * MINUTE_MS), walk(400))
        assert f.outcomes["ok"] == 4
        assert f.outcomes.total() == 6


@pytest.mark.parametrize("fault", [*PASSING, Fault.HANG])
async def test_a_lasting_fault_ends_in_unreachable_after_bounded_attempts_and_heals(fault: Fault) -> None:
    deadline = 0.3 if fault is Fault.HANG else QUICK.deadline_sec
    async with feed(10, limits=replace(QUICK, deadline_sec=deadline)) as f:
        f.server.misbehave_always(fault)
        with pytest.raises(SourceUnreachableError, match="OANDA does not answer"):
            await f.get(START, START + 10 * MINUTE_MS)
        assert len(f.server.requests) == QUICK.attempts
        f.server.misbehave_always(None)
        assert_same(await f.get(START, START + 10 * MINUTE_MS), walk(10))


async def test_outcomes_are_named_by_what_happened() -> None:
    async with feed(10, limits=replace(QUICK, attempts=1, deadline_sec=1.0)) as f:
        for fault in (Fault.THROTTLED, Fault.UNAVAILABLE, Fault.HANG, Fault.CLOSE, Fault.GARBAGE, Fault.OVERSIZED):
            f.server.misbehave(fault)
            with pytest.raises(SourceUnreachableError):
                await f.get(START, START + 10 * MINUTE_MS)
        f.server.misbehave(Fault.UNAUTHORIZED)
        with pytest.raises(RefusedError):
            await f.get(START, START + 10 * MINUTE_MS)
    assert f.outcomes == {"throttled": 1, "server_error": 1, "timeout": 1, "unreachable": 1, "garbage": 2, "refused": 1}


async def test_retry_after_is_honoured() -> None:
    async with feed(10) as f:
        f.server.retry_after = "1"
        f.server.misbehave(Fault.THROTTLED)
        await f.get(START, START + 10 * MINUTE_MS)
        first, second = (request.at for request in f.server.requests)
        assert second - first >= 1.0


async def test_a_retry_after_beyond_the_bound_is_left_to_the_next_cycle() -> None:
    async with feed(10) as f:
        f.server.retry_after = "3600"
        f.server.misbehave(Fault.THROTTLED)
        with pytest.raises(SourceUnreachableError):
            await f.get(START, START + 10 * MINUTE_MS)
        assert len(f.server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "reason", "lost"),
    [
        (Fault.NAN, "not_finite", range(0, 50, 5)),
        (Fault.HIGH_BELOW_LOW, "high_below_low", range(0, 50, 5)),
        (Fault.MALFORMED, "malformed", range(0, 50, 5)),
        (Fault.INCOMPLETE_TAIL, "incomplete", [49]),
    ],
)
async def test_a_bad_candle_is_left_out_and_counted_by_its_reason(
    fault: Fault, reason: str, lost: range | list[int]
) -> None:
    async with feed(50) as f:
        f.server.misbehave(fault)
        got = await f.get(START, START + 50 * MINUTE_MS)
        assert_same(got, walk(50).take(np.setdiff1d(np.arange(50), list(lost))))
        assert f.refused == {reason: len(lost)}


async def test_duplicated_reordered_and_repeated_candles_change_nothing() -> None:
    async with feed(300, page_minutes=100) as f:
        f.server.misbehave(Fault.DUPLICATED, Fault.REORDERED, Fault.REPEATED_PAST)
        got = await f.get(START, START + 300 * MINUTE_MS)
        assert (np.diff(got.t) == MINUTE_MS).all()
        assert f.refused["duplicate"] == 100
        assert f.refused["not_asked_for"] == 7


async def test_missing_candles_do_not_end_the_range() -> None:
    async with feed(300, page_minutes=100) as f:
        f.server.misbehave(Fault.MISSING)
        got = await f.get(START, START + 300 * MINUTE_MS)
        assert got.size == 300 - 33
        assert got.t[-1] == START + 299 * MINUTE_MS


async def test_a_page_of_nothing_but_malformed_candles_is_stepped_over() -> None:
    async with feed(3, page_minutes=1) as f:
        f.server.misbehave(Fault.MALFORMED)
        got = await f.get(START, START + 3 * MINUTE_MS)
        assert got.t.tolist() == [START + MINUTE_MS, START + 2 * MINUTE_MS]


async def test_the_forming_candle_is_never_taken_and_ends_the_range() -> None:
    async with feed(20, now=START + 10 * MINUTE_MS + 30_000) as f:
        got = await f.get(START, START + 20 * MINUTE_MS)
        assert got.t[-1] == START + 9 * MINUTE_MS
        assert f.refused == {"incomplete": 1}
        assert len(f.server.requests) == 1


async def test_a_range_that_has_not_begun_is_empty() -> None:
    async with feed(5) as f:
        start = START + 100 * MINUTE_MS
        assert (await f.get(start, start + MINUTE_MS)).size == 0


async def test_a_long_range_is_asked_for_in_pages_that_oanda_takes() -> None:
    async with feed(12_000) as f:
        assert_same(await f.get(START, START + 12_000 * MINUTE_MS), walk(12_000))
        assert [int(request.query["count"]) for request in f.server.requests] == [5000, 5000, 2000]
        assert all("to" not in request.query for request in f.server.requests)
        assert f.server.connections == 1


async def test_only_candles_that_close_by_the_end_are_taken() -> None:
    async with feed(20) as f:
        got = await f.get(START + 1, START + 10 * MINUTE_MS + 30_000)
        assert (int(got.t[0]), int(got.t[-1])) == (START + MINUTE_MS, START + 9 * MINUTE_MS)


async def test_a_refused_token_names_its_setting_and_never_itself() -> None:
    async with feed(5) as f:
        f.server.misbehave(Fault.UNAUTHORIZED)
        with pytest.raises(RefusedError, match="OANDA_API_KEY") as caught:
            await f.get(START, START + MINUTE_MS)
        assert TOKEN not in repr(caught.getrepr(style="long"))
        assert len(f.server.requests) == 1


@pytest.mark.parametrize("token", ["", "two\nlines", "trailing ", "ключ"])
def test_an_unusable_token_is_refused_at_once_without_showing_it(token: str) -> None:
    with pytest.raises(RefusedError, match="OANDA_API_KEY") as caught:
        OandaSource(token, "practice")
    assert not token or token not in str(caught.value)


async def test_an_unknown_instrument_is_refused_with_oandas_reason() -> None:
    async with feed(5) as f:
        with pytest.raises(RefusedError, match="Invalid value specified for 'instrument'"):
            [page async for page in f.source.fetch("ABC_DEF", START, START + MINUTE_MS)]
        assert len(f.server.requests) == 1


async def test_nobody_listening_is_unreachable() -> None:
    source = OandaSource(TOKEN, "practice", base_url="http://127.0.0.1:9", limits=QUICK)
    with pytest.raises(SourceUnreachableError):
        [page async for page in source.fetch("EUR_USD", START, START + MINUTE_MS)]
    await source.aclose()


async def test_account_and_open_trades_come_as_oanda_words_them() -> None:
    async with feed(1) as f:
        account = await f.source.account()
        trades = await f.source.open_trades()
    assert account == {"account": {"id": ACCOUNT, "balance": "35454.4740"}, "lastTransactionID": "2123"}
    assert trades == {"trades": [], "lastTransactionID": "2317"}


async def test_the_account_needs_its_setting() -> None:
    source = OandaSource(TOKEN, "practice")
    with pytest.raises(RefusedError, match="OANDA_ACCOUNT_ID"):
        await source.account()
    await source.aclose()


async def test_requests_stay_below_the_pace() -> None:
    async with feed(60, limits=replace(QUICK, requests_per_sec=50.0), page_minutes=1) as f:
        await f.get(START, START + 60 * MINUTE_MS)
        at = [request.at for request in f.server.requests]
        assert len(at) == 60
        assert at[-1] - at[0] >= 58 / 50.0


async def test_new_connections_stay_below_their_pace() -> None:
    async with feed(6, limits=replace(QUICK, new_connections_per_sec=10.0), page_minutes=1) as f:
        f.server.closes_each = True
        await f.get(START, START + 6 * MINUTE_MS)
        at = [request.at for request in f.server.requests]
        assert f.server.connections >= 6
        assert at[-1] - at[0] >= 0.45


async def test_cancelled_requests_leave_the_pool_usable() -> None:
    async with feed(5) as f:
        f.server.misbehave_always(Fault.HANG)

        async def give_up() -> None:
            with anyio.move_on_after(0.05):
                await f.get(START, START + MINUTE_MS)

        await concurrently([give_up] * 40)
        f.server.misbehave_always(None)
        assert_same(await f.get(START, START + 5 * MINUTE_MS), walk(5))


async def concurrently(calls: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


@pytest.mark.shared_data
def test_recorded_candles_decode(shared_data: Path) -> None:
    recorded = json.loads((shared_data / "oanda" / "v3_instruments_instrument_candles.json").read_text())
    rows = [json.dumps(row).encode() for row in recorded["response"]["candles"]]
    decoded = decode_rows(rows, oanda=True)
    assert decoded.faults == {}
    assert decoded.candles.t[0] == 1_476_732_900_000
    assert decoded.candles.close.tolist() == [float(row["mid"]["c"]) for row in recorded["response"]["candles"]]
    assert np.isnan(decoded.candles.bid).all()
