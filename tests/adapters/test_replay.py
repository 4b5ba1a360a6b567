from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import anyio
import numpy as np
import pytest

from hotbandd.adapters.replay import ReplaySource
from hotbandd.core.candles import MINUTE_MS, Candles, concatenate, empty
from hotbandd.errors import CandleInputError, RefusedError

T0 = 1_735_689_600_000
HEADER = "time_ms,open,high,low,close,volume"


def row(minute: int, close: str = "1.1") -> str:
    return f"{T0 + minute * MINUTE_MS},1.1,1.2,1.0,{close},5"


def csv(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


async def read(
    source: ReplaySource, instrument: str, start: int = 0, end: int = 2**52
) -> tuple[Candles, dict[str, int]]:
    pages = [page async for page in source.fetch(instrument, start, end)]
    refused = {reason: count for page in pages for reason, count in page.refused.items()}
    return concatenate(page.candles for page in pages) if pages else empty(), refused


async def test_instruments_are_the_names_before_the_rest_of_the_file_name(tmp_path: Path) -> None:
    for name in (
        "USD_JPY_M1.csv.gz",
        "EUR_USD.json",
        "EUR_USD_2.jsonl",
        "XAU_USD-2024.csv",
        "notes.txt",
        "eur_usd.csv",
        "A_B.csv",
    ):
        (tmp_path / name).write_bytes(b"")
    assert await ReplaySource(tmp_path).instruments() == ["EUR_USD", "USD_JPY", "XAU_USD"]


async def test_bounds_are_the_first_open_and_the_last_close(tmp_path: Path) -> None:
    (tmp_path / "EUR_USD.csv").write_text(csv(row(0), row(5)))
    assert await ReplaySource(tmp_path).bounds("EUR_USD") == (T0, T0 + 6 * MINUTE_MS)


async def test_files_are_read_once_and_refusals_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "EUR_USD.csv"
    path.write_text(csv(row(0), row(1, "nan"), row(2)))
    source = ReplaySource(tmp_path)
    candles, refused = await read(source, "EUR_USD")
    path.unlink()
    assert (candles.size, refused) == (2, {"not_finite": 1})
    again, refused = await read(source, "EUR_USD")
    assert (again.size, refused) == (2, {})


async def test_refusals_are_told_even_if_the_range_is_empty(tmp_path: Path) -> None:
    (tmp_path / "EUR_USD.csv").write_text(csv(row(1, "9.9")))
    assert (await read(ReplaySource(tmp_path), "EUR_USD", 0, 1))[1] == {"high_below_low": 1}


async def test_many_readers_at_once_share_one_load(tmp_path: Path) -> None:
    (tmp_path / "EUR_USD.csv").write_text(csv(row(1, "nan"), row(2)))
    source = ReplaySource(tmp_path)
    counted: list[int] = []

    async def one() -> None:
        candles, refused = await read(source, "EUR_USD")
        assert candles.size == 1
        counted.append(refused.get("not_finite", 0))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(one)
    assert sum(counted) == 1


async def test_several_files_of_an_instrument_are_joined_in_time(tmp_path: Path) -> None:
    (tmp_path / "EUR_USD_b.csv").write_text(csv(row(0), row(1)))
    (tmp_path / "EUR_USD_a.csv").write_text(csv(row(1), row(2)))
    candles, refused = await read(ReplaySource(tmp_path), "EUR_USD")
    assert ((candles.t - T0) // MINUTE_MS).tolist() == [0, 1, 2]
    assert refused == {"duplicate": 1}


async def test_files_that_disagree_about_a_minute_are_refused(tmp_path: Path) -> None:
    (tmp_path / "EUR_USD_a.csv").write_text(csv(row(0, "1.1")))
    (tmp_path / "EUR_USD_b.csv").write_text(csv(row(0, "1.15")))
    with pytest.raises(CandleInputError, match="files of EUR_USD taken together"):
        await read(ReplaySource(tmp_path), "EUR_USD")


async def test_a_long_file_comes_in_ascending_pages(tmp_path: Path) -> None:
    (tmp_path / "EUR_USD.csv.gz").write_bytes(gzip.compress(csv(*(row(i) for i in range(10_000))).encode()))
    pages = [page.candles async for page in ReplaySource(tmp_path).fetch("EUR_USD", T0, T0 + 10_000 * MINUTE_MS)]
    assert len(pages) > 1
    assert (np.diff(concatenate(pages).t) == MINUTE_MS).all()


async def test_an_instrument_without_a_file_and_a_missing_directory_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"put a file EUR_USD_M1\.csv there"):
        await read(ReplaySource(tmp_path), "EUR_USD")
    with pytest.raises(CandleInputError, match="name a directory"):
        await ReplaySource(tmp_path / "none").instruments()


async def test_a_file_without_a_usable_candle_has_no_bounds(tmp_path: Path) -> None:
    (tmp_path / "EUR_USD.csv").write_text(csv(row(0, "nan")))
    with pytest.raises(CandleInputError, match="no usable candle"):
        await ReplaySource(tmp_path).bounds("EUR_USD")


async def test_a_directory_named_like_a_file_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "EUR_USD.csv").mkdir()
    with pytest.raises(CandleInputError, match="cannot be read"):
        await read(ReplaySource(tmp_path), "EUR_USD")


@pytest.mark.parametrize("render", [json.dumps, lambda rows: "\n".join(map(json.dumps, rows))])
async def test_json_is_read_as_well(tmp_path: Path, render: Callable[[list[dict[str, float]]], str]) -> None:
    rows = [{"t": T0 + i * MINUTE_MS, "o": 1.1, "h": 1.2, "l": 1.0, "c": 1.1, "v": 3} for i in range(3)]
    (tmp_path / "EUR_USD.json").write_text(render(rows))
    assert (await read(ReplaySource(tmp_path), "EUR_USD"))[0].size == 3


@pytest.mark.shared_data
async def test_real_candles_come_whole(shared_data: Path) -> None:
    source = ReplaySource(shared_data / "candles" / "dev")
    assert await source.instruments() == ["AUD_USD", "EUR_USD", "GBP_USD", "NZD_USD", "USD_CAD", "USD_CHF"]
    candles, refused = await read(source, "GBP_USD")
    assert candles.size > 175_000
    assert refused == {}
    assert await source.bounds("GBP_USD") == (int(candles.t[0]), int(candles.t[-1]) + MINUTE_MS)
