"""Time the operators' tools over a real Valkey and a fake OANDA: ``python -m benchmarks.toolchain [--json]``.

Where the real candles lie beside the project, a grid of 1 000 sets on each of their pairs tells how many winners survive deflation.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from benchmarks.backtest import grid
from benchmarks.dask_trials import runner
from hotbandd import parts
from hotbandd.adapters import log, plots, strategies, yaml_text
from hotbandd.adapters.compute import ProcessCompute
from hotbandd.adapters.embedded_valkey import embedded
from hotbandd.adapters.files import FolderArtifacts
from hotbandd.adapters.oanda import OandaSource
from hotbandd.adapters.replay import ReplaySource
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.adapters.simulator.defaults import DEMO_START_MS as NOW
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.signals import ValkeySignals
from hotbandd.adapters.store.trials import ValkeyTrials
from hotbandd.adapters.store.valkey import ValkeyBackend
from hotbandd.core import assessment, trials
from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, concatenate
from hotbandd.core.trials import Spec
from hotbandd.operations.backfill import Backfill, Wanted
from hotbandd.operations.prime import Measure, Prime
from hotbandd.operations.progress import Silent
from hotbandd.operations.report import Report
from hotbandd.settings import load
from tests.conftest import SHARED_DATA
from tests.fake_oanda import TOKEN, fake_oanda

DAYS = 30
NIGHTLY = Path(__file__).resolve().parents[1] / "config" / "experiments" / "nightly.yaml"
SETTINGS = load({"HOTBAND_SOURCE": "simulated"}, None).settings


async def simulated() -> dict[str, Candles]:
    """Return 100 days of the simulated market."""
    source = SimulatedSource()
    return {
        pair: concatenate([page.candles async for page in source.fetch(pair, NOW - 100 * DAY_MS, NOW)])
        for pair in SETTINGS.pairs
    }


async def measure(home: Path) -> dict[str, Any]:
    """Return all figures."""
    compute, held = ProcessCompute(SETTINGS.workers), await simulated()
    async with embedded(home) as url:
        backend, ages = ValkeyBackend(url), parts.ages(SETTINGS)
        store, archive = DocumentStore(backend, ages), ValkeyTrials(backend)
        found = await warm_up(home, held, backend, store, compute)
        for pair, candles in held.items():
            await store.put_candles(pair, SETTINGS.candle_gran, candles)
        nightly = trials.parse(yaml_text.load(NIGHTLY.read_bytes()), strategies.rules())
        found["nightly"] = await run(nightly, store, archive, compute, NOW)
        await store.aclose()
    if SHARED_DATA.is_dir():
        found["real"] = await real(home / "real", compute)
    await compute.aclose()
    return found


async def warm_up(
    home: Path, held: Mapping[str, Candles], backend: ValkeyBackend, store: DocumentStore, compute: ProcessCompute
) -> dict[str, Any]:
    """Time back-fill and prime."""
    async with fake_oanda(held, NOW) as oanda:
        source = OandaSource(TOKEN, "practice", base_url=oanda.url)
        began = time.perf_counter()
        wanted = Wanted(count=SETTINGS.candle_count, days=DAYS)
        filler = Backfill(source, store, parts.calendar(SETTINGS), SETTINGS.candle_gran, Silent())
        new = await filler.run(SETTINGS.pairs, wanted, NOW)
        filled = time.perf_counter() - began
        await source.aclose()
        asked = {"requests": len(oanda.requests), "connections": oanda.connections}
    measured = Measure(SETTINGS.kernel, parts.form(SETTINGS), SETTINGS.session_pattern_lookback_min)
    signals = ValkeySignals(backend, parts.ages(SETTINGS))
    prime = Prime(store, signals, FolderArtifacts(home), compute, measured, SETTINGS.candle_gran, 90, Silent())
    began = time.perf_counter()
    primed = await prime.run(SETTINGS.pairs, DAYS, NOW)
    return {
        "backfill": {"seconds": filled, "candles": sum(new.values()), **asked},
        "prime": {"seconds": time.perf_counter() - began, "signals": sum(primed.values())},
    }


async def run(
    spec: Spec, store: DocumentStore, archive: ValkeyTrials, compute: ProcessCompute, now: int
) -> dict[str, Any]:
    """Time a grid."""
    began = time.perf_counter()
    done = await runner(store, archive, compute, spec, SETTINGS).run(spec, now)
    return {"seconds": time.perf_counter() - began, "runs": done.now, "instruments": len(spec.instruments)}


async def real(home: Path, compute: ProcessCompute) -> dict[str, Any]:
    """Try a thousand sets on each real pair, and see which winners are told from luck."""
    home.mkdir()
    source = ReplaySource(SHARED_DATA / "candles" / "dev")
    pairs = await source.instruments()
    async with embedded(home) as url:
        backend = ValkeyBackend(url)
        store, archive = DocumentStore(backend, parts.ages(SETTINGS)), ValkeyTrials(backend)
        end = 0
        for pair in pairs:
            candles = await source.whole(pair)
            end = max(end, int(candles.t[-1]) + MINUTE_MS)
            await store.put_candles(pair, SETTINGS.candle_gran, candles)
        document = {"window_days": 60, "defaults": axes(), "instruments": [{"instrument": pair} for pair in pairs]}
        found = await run(trials.parse(document, strategies.rules()), store, archive, compute, end)
        await Report(archive, FolderArtifacts(home), compute, plots.report_page, Silent()).run(1, 5, end)
        best = [config for pair in pairs if (config := await archive.best(pair)) is not None]
        await store.aclose()
    lucks = {config.instrument: config.luck for config in best}
    survivors = [name for name, one in lucks.items() if one and (one.deflated_sharpe or 0.0) >= assessment.CONFIDENT]
    highest = max((one.deflated_sharpe or 0.0 for one in lucks.values() if one), default=0.0)
    return {**found, "winners": len(best), "survive_deflation": survivors, "highest_deflated_sharpe": highest}


def axes() -> dict[str, list[Any]]:
    """Return the thousand sets as axes."""
    found: dict[str, list[Any]] = {}
    for params in grid():
        for name in ("c_min", "direction_lookback", "dir_threshold_bps", "max_hold_min", "tp_bps", "sl_bps"):
            values = found.setdefault(name, [])
            if getattr(params, name) not in values:
                values.append(getattr(params, name))
    return found


def main() -> None:
    """Print the figures, as lines or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    log.configure("warning", "console", interactive=False, secrets=())
    with tempfile.TemporaryDirectory() as home:
        found: dict[str, Any] = anyio.run(measure, Path(home), backend_options={"use_uvloop": True})
    if as_json:
        print(json.dumps(found))
        return
    filled, primed = found["backfill"], found["prime"]
    print(
        f"back-fill, {len(SETTINGS.pairs)} pairs × {DAYS} days from a fake OANDA: {filled['seconds']:.1f} s, "
        f"{filled['candles']} candles in {filled['requests']} requests over {filled['connections']} connections"
    )
    print(f"prime, {len(SETTINGS.pairs)} pairs × {DAYS} days: {primed['seconds']:.1f} s, {primed['signals']} signals")
    for name in ("nightly", "real"):
        if name in found:
            row = found[name]
            print(f"{name} grid, {row['runs']} runs on {row['instruments']} instruments: {row['seconds']:.1f} s")
    if "real" in found:
        row = found["real"]
        print(
            f"of {row['winners']} winners on real candles {len(row['survive_deflation'])} survive deflation; "
            f"the highest deflated Sharpe ratio is {row['highest_deflated_sharpe']:.1%}"
        )


if __name__ == "__main__":
    main()
