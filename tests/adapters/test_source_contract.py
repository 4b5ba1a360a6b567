"""What every source of candles has to do, whatever it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from hotbandd.adapters.oanda import Limits, OandaSource
from hotbandd.adapters.replay import HeldSource, ReplaySource
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.adapters.simulator.market import week_of
from hotbandd.adapters.simulator.weeks import week_open
from hotbandd.core.candles import MINUTE_MS, Candles, check, concatenate, empty
from hotbandd.core.documents import encode
from hotbandd.ports import CandleSource
from tests.fake_oanda import TOKEN, fake_oanda

SEED = 3
START = week_open(2) + 600 * MINUTE_MS
END = START + 9 * 1440 * MINUTE_MS  # over a weekend, and more than one page of each source


@asynccontextmanager
async def oanda(_: Path, held: Candles) -> AsyncIterator[CandleSource]:
    async with fake_oanda({"EUR_USD": held}, week_open(10)) as server:
        source = OandaSource(TOKEN, "practice", base_url=server.url, limits=Limits(new_connections_per_sec=1000.0))
        try:
            yield source
        finally:
            await source.aclose()


@asynccontextmanager
async def replay(folder: Path, held: Candles) -> AsyncIterator[CandleSource]:
    (folder / "EUR_USD_M1.jsonl").write_bytes(b"\n".join(encode(row) for row in held.rows()))
    source = ReplaySource(folder)
    yield source
    await source.aclose()


@asynccontextmanager
async def in_memory(_: Path, held: Candles) -> AsyncIterator[CandleSource]:
    source = HeldSource({"EUR_USD": held})
    yield source
    await source.aclose()


@asynccontextmanager
async def simulated(_: Path, __: Candles) -> AsyncIterator[CandleSource]:
    source = SimulatedSource(SEED)
    yield source
    await source.aclose()


@pytest.fixture(params=[oanda, replay, in_memory, simulated], ids=["oanda", "replay", "held", "simulated"])
async def source(request: pytest.FixtureRequest, tmp_path: Path, held: Candles) -> AsyncIterator[CandleSource]:
    async with request.param(tmp_path, held) as opened:
        yield opened


@pytest.fixture(scope="module")
def held() -> Candles:
    """The market that every source of this suite shows."""
    return concatenate(week_of(SEED, "EUR_USD", week) for week in (1, 2, 3))


async def fetched(source: CandleSource, start: int, end: int) -> Candles:
    pages = [page async for page in source.fetch("EUR_USD", start, end)]
    assert all(not page.refused for page in pages)
    return concatenate(page.candles for page in pages) if pages else empty()


def assert_same(ours: Candles, theirs: Candles) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


async def test_a_range_is_given_whole_and_to_the_last_field(source: CandleSource, held: Candles) -> None:
    assert_same(await fetched(source, START, END), held.between(START, END))


async def test_pages_are_many_ascending_and_checked(source: CandleSource) -> None:
    pages = [page.candles async for page in source.fetch("EUR_USD", START, END)]
    assert len(pages) > 1
    assert (np.diff(np.concatenate([page.t for page in pages])) > 0).all()
    assert all(not check(page).refused for page in pages)
    assert all(page.t.dtype == np.int64 for page in pages)
    assert all(column.dtype == np.float64 for page in pages for column in page[1:])


async def test_the_start_is_inclusive_and_the_end_exclusive(source: CandleSource, held: Candles) -> None:
    first, last = int(held.t[8000]), int(held.t[8010])
    assert (await fetched(source, first, last)).t.tolist() == held.t[8000:8010].tolist()


async def test_a_candle_that_closes_after_the_end_is_not_given(source: CandleSource, held: Candles) -> None:
    forming = int(held.t[8010])
    assert (await fetched(source, int(held.t[8000]), forming + 59_999)).t[-1] == held.t[8009]


async def test_an_empty_range_has_no_candle(source: CandleSource) -> None:
    assert (await fetched(source, START, START)).size == 0
    assert (await fetched(source, START + 5, START + 59_000)).size == 0
    assert (await fetched(source, END, START)).size == 0


async def test_a_weekend_has_no_candle(source: CandleSource) -> None:
    closed = week_open(2) + 5 * 1440 * MINUTE_MS
    assert (await fetched(source, closed, week_open(3))).size == 0


async def test_the_same_question_has_the_same_answer(source: CandleSource) -> None:
    assert_same(await fetched(source, START, END), await fetched(source, START, END))


async def test_a_source_has_a_name(source: CandleSource) -> None:
    assert source.name in {"oanda", "replay", "held", "simulated"}
