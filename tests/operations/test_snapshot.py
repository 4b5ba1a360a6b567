"""Snapshots: one stamp, all four parts or none, old ones packed and then gone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from hotbandd.adapters.oanda import OandaSource
from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import encode
from hotbandd.errors import RefusedError, UnhealthyError, UsageError
from hotbandd.operations.retention import SNAPSHOTS, trim_manifolds, trim_snapshots
from hotbandd.operations.snapshot import Snapshot
from tests.adapters import store_samples as samples
from tests.fake_oanda import ACCOUNT, TOKEN, Fault, fake_oanda
from tests.operations.conftest import Outside

NOW = 1_709_645_445_000  # 2024-03-05 13:30:45
STAMP = "20240305T133045Z"
PARTS = {"account", "open_trades", "allocation", "gates"}


async def published(outside: Outside) -> None:
    await outside.redis.set("opt:rolling:gates_blob", encode(samples.blob()))
    await outside.redis.set("risk:allocation_weights", encode(samples.weights()))
    await outside.redis.set("opt:allocator:status", encode(samples.status()))


async def taken(outside: Outside, *faults: Fault) -> list[Path]:
    async with fake_oanda({}, NOW) as oanda:
        oanda.misbehave(*faults)
        source = OandaSource(TOKEN, "practice", account_id=ACCOUNT, base_url=oanda.url)
        try:
            return await Snapshot(source, outside.store, outside.artifacts, 365).run(NOW)
        finally:
            await source.aclose()


def snapshots(outside: Outside) -> list[Path]:
    return sorted((outside.home / SNAPSHOTS).glob("*")) if (outside.home / SNAPSHOTS).exists() else []


async def test_a_snapshot_is_four_files_of_one_stamp(outside: Outside) -> None:
    await published(outside)
    files = await taken(outside)
    assert {file.name for file in files} == {f"{STAMP}_{part}.json" for part in PARTS}
    found = {file.stem.removeprefix(f"{STAMP}_"): json.loads(file.read_text()) for file in files}
    assert found["account"]["account"]["id"] == ACCOUNT
    assert found["gates"] == json.loads(encode(samples.blob()))
    assert found["allocation"]["weights"] == json.loads(encode(samples.weights()))
    assert TOKEN not in "".join(file.read_text() for file in files)


async def test_without_gates_or_account_nothing_is_written(outside: Outside) -> None:
    await published(outside)
    await outside.redis.delete("opt:rolling:gates_blob")
    with pytest.raises(UnhealthyError, match="gates blob"):
        await taken(outside)
    await published(outside)
    with pytest.raises(ExceptionGroup) as raised:
        await taken(outside, Fault.UNAUTHORIZED)
    assert raised.group_contains(RefusedError)
    assert snapshots(outside) == []


async def test_where_one_file_cannot_be_written_none_is(outside: Outside) -> None:
    await published(outside)
    folder = outside.home / SNAPSHOTS
    (folder / f"{STAMP}_gates.json").mkdir(parents=True)
    ours = folder / f"{STAMP}_gates.json" / "in the way"
    ours.write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        await taken(outside)
    assert not [file for file in snapshots(outside) if file.name.startswith(".")]


async def test_old_snapshots_are_packed_and_older_ones_removed(outside: Outside) -> None:
    stamps = {1: "20240304T133045Z", 8: "20240226T133045Z", 400: "20230130T133045Z"}
    for stamp in stamps.values():
        await outside.artifacts.write(SNAPSHOTS / f"{stamp}_gates.json", stamp.encode())
    await outside.artifacts.write(SNAPSHOTS / "notes_mine.json", b"kept")
    for _ in range(2):
        await trim_snapshots(outside.artifacts, 365, NOW)
        left = {file.name for file in snapshots(outside)}
        assert left == {f"{stamps[1]}_gates.json", f"{stamps[8]}_gates.json.gz", "notes_mine.json"}
    packed = (outside.home / SNAPSHOTS / f"{stamps[8]}_gates.json.gz").read_bytes()
    assert gzip.decompress(packed).decode() == stamps[8]


async def test_daily_manifolds_are_removed_after_their_retention(outside: Outside) -> None:
    folder = Path("output/manifolds/EUR_USD")
    for day in ("2024-03-05", "2023-12-07", "2023-12-05", "notes"):
        await outside.artifacts.write(folder / f"{day}.json", b"{}")
    assert await trim_manifolds(outside.artifacts, 90, 1_709_596_800_000 + DAY_MS - 1) == 1
    assert {file.stem for file in (outside.home / folder).iterdir()} == {"2024-03-05", "2023-12-07", "notes"}
