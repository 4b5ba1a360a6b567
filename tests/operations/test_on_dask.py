"""What operations store does not depend on where their kernels ran: a pool of this machine, or Dask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hotbandd import parts
from hotbandd.adapters.compute import ProcessCompute
from hotbandd.adapters.dask_compute import DaskCompute
from hotbandd.adapters.files import FolderArtifacts
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.core import backtest
from hotbandd.operations.prime import Measure, Prime
from hotbandd.operations.progress import Silent
from hotbandd.operations.report import Report
from hotbandd.ports import Compute
from tests.dask_cluster import cluster
from tests.operations.conftest import Outside
from tests.operations.test_report import plain
from tests.operations.test_trials import NOW, PAIRS, SETTINGS, SPEC, archive, request, runner

__all__ = ["archive"]  # a fixture


async def worked(outside: Outside, archive: ValkeyTrials, compute: Compute, home: Path) -> dict[str, Any]:
    """Run trials, report on them, prime, and evaluate on a compute; return every byte that came of it."""
    files = FolderArtifacts(home)
    measure = Measure(SETTINGS.kernel, parts.form(SETTINGS), 30)
    await runner(outside, archive, compute).run(SPEC, NOW)
    await Report(archive, files, compute, plain, Silent()).run(14, 5, NOW)
    await Prime(outside.store, outside.signals, files, compute, measure, "M1", 90, Silent()).run(PAIRS, 6, NOW)
    trades = (await compute.run(backtest.evaluate, request(parts.params(SETTINGS)))).trades
    found: dict[str, Any] = {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*.*")}
    found["trades"] = [column.tobytes() for column in (trades.ret, trades.entry_ms, trades.mae)]
    for key in sorted(await outside.redis.keys("*")):
        kind = await outside.redis.type(key)
        if kind == b"string":
            found[key] = await outside.redis.get(key)
        elif kind == b"zset":
            found[key] = await outside.redis.zrange(key, 0, -1, withscores=True)
    return found


@pytest.fixture
async def pool() -> AsyncIterator[ProcessCompute]:
    made = ProcessCompute(2)
    yield made
    await made.aclose()


async def test_every_byte_is_the_same(
    outside: Outside, archive: ValkeyTrials, pool: ProcessCompute, tmp_path: Path
) -> None:
    ours = await worked(outside, archive, pool, tmp_path / "pool")
    for key in await outside.redis.keys("*"):
        if b"candles:" not in key:
            await outside.redis.delete(key)
    with cluster(tmp_path, workers=2) as running:
        compute = DaskCompute(running.place)
        theirs = await worked(outside, archive, compute, tmp_path / "dask")
        await compute.aclose()
    assert sum(key.startswith(b"bt:trial:run:") for key in theirs if isinstance(key, bytes)) == 16
    assert any(str(key).endswith(".json") for key in theirs)
    assert theirs.keys() == ours.keys()
    assert [key for key in ours if ours[key] != theirs[key]] == []
