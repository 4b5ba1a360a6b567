"""Time back-tests: one run beside its naive twin, vectorbt and backtesting.py, and a grid: ``python -m benchmarks.backtest [--json]``.

vectorbt and backtesting.py are an extra (``pip install '.[rivals]'``); without it their columns stay empty.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import resource
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import anyio
import numpy as np

from benchmarks import rivals
from hotbandd import parts
from hotbandd.adapters.compute import ProcessCompute
from hotbandd.core.backtest import Request, evaluate
from hotbandd.core.candles import MINUTE_MS, of_columns
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns
from hotbandd.core.sweep import sweep
from hotbandd.core.thresholds import Guards
from kernels import backtest
from kernels.backtest import OFF, Bars, Rules, Signals
from tests.kernels import naive_backtest

DAY_MIN = 1440
MONTH, QUARTER = 43_200, 97_000
BOUNDS = Guards(enforce=True, s_min=0.4, h_max=0.7, r_max=0.6, hazard_max=1.0)
PARAMS = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0)
INSTRUMENTS, SETS, PARTS = 8, 1000, 4
Case = tuple[Bars, Signals, Rules]


def market(n: int, entries: float, *, turn: int = 10, always: bool = False) -> Case:
    """Draw a Gaussian walk whose direction holds for some minutes, as after a slope, with a share of candles that may enter."""
    random = np.random.default_rng(1)
    close = np.exp(np.cumsum(random.standard_normal(n)) * 1.5e-4)
    opened = np.concatenate((close[:1], close[:-1]))
    wick = np.abs(random.standard_normal(n)) * 1e-4
    high, low = np.maximum(opened, close) * (1 + wick), np.minimum(opened, close) * (1 - wick)
    bars = Bars(np.arange(n, dtype=np.int64) * MINUTE_MS, opened, high, low, close)
    direction = np.repeat(random.choice([-1, 0, 0, 0, 1], n // turn + 1), turn)[:n].astype(np.int8)
    minute = np.arange(n) % DAY_MIN
    closed = ((minute < 7 * 60) | (minute >= 21 * 60 - 5)) & (not always)
    entry = np.where((random.random(n) < entries) & ~closed, direction, 0).astype(np.int8)
    entry[-300:] = 0  # nothing is held at the end, which each library ends in its own way
    return bars, Signals(entry, direction, closed), Rules(60_000, 60_000, 240 * MINUTE_MS, cost=2e-4)


def request(bars: Bars, signals: Signals) -> Request:
    """Build a whole run on the same candles, with metrics drawn at random."""
    n = len(bars.t)
    return Request(
        candles=of_columns(*bars, np.ones(n)),
        metrics=MetricColumns(*np.random.default_rng(2).random((5, n))),
        leave=signals.leave,
        params=PARAMS,
        guards=BOUNDS,
        cost_bps=2.0,
        coverage=dict.fromkeys((14, 30, 60), 1.0),
    )


def best_ms(run: Callable[[], Any], times: int) -> float:
    """Return the best of several runs, in ms."""

    def once() -> float:
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1000

    return min(once() for _ in range(times))


def measure(case: Case, level: float = OFF, *, beside: bool = False) -> dict[str, Any]:
    """Time the kernel and its twin on one market, with the others beside them; all of them have to agree."""
    bars, signals, rules = case
    rules = rules._replace(tp=level, sl=level)
    trades = backtest.run(bars, signals, rules)
    twin = naive_backtest.run(bars, signals, rules)
    if [row["exit_ms"] for row in twin] != trades.exit_ms.tolist():
        raise AssertionError("the kernel and its twin disagree")
    found = {
        "candles": len(bars.t),
        "candidates": int(np.count_nonzero(signals.entry)),
        "levels": level < OFF,
        "trades": trades.size,
        "kernel_ms": best_ms(lambda: backtest.run(bars, signals, rules), 50),
        "naive_ms": best_ms(lambda: naive_backtest.run(bars, signals, rules), 2),
    }
    for name, make, times in (("vectorbt", rivals.vectorbt_run, 10), ("backtesting", rivals.backtesting_run, 2)):
        if beside and find_spec(name):
            found[f"{name}_ms"] = rival_ms(make(bars, signals, rules), trades, times)
    return found


def rival_ms(run: Callable[[], rivals.Fill], trades: backtest.Trades, times: int) -> float:
    """Time another library, once its trades are ours."""
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
        fill = run()
        for theirs, ours in zip(fill, (trades.side, trades.entry_index, trades.exit_index), strict=False):
            if theirs.tolist() != ours.tolist():
                raise AssertionError("the trades are not the same")
        if not (np.allclose(fill.entry, trades.entry) and np.allclose(fill.exit, trades.exit)):
            raise AssertionError("the prices are not the same")
        return best_ms(run, times)


def measure_whole(n: int) -> dict[str, Any]:
    """Time a whole evaluation: direction, guards, run, spans."""
    bars, signals, _ = market(n, 0.0)
    whole = request(bars, signals)
    return {"candles": n, "trades": evaluate(whole).trades.size, "evaluate_ms": best_ms(lambda: evaluate(whole), 30)}


def grid() -> list[Params]:
    """Return a thousand parameter sets, as a night's trials would have them."""
    axes = (
        (0.3, 0.45, 0.55, 0.7, 0.85),
        (6, 12, 24, 36, 48),
        (1.0, 2.0, 4.0, 6.0, 8.0),
        (60, 240),
        (None, 8.0),
        (None, 8.0),
    )
    sets = [
        Params(c_min=c, direction_lookback=back, dir_threshold_bps=bps, max_hold_min=hold, tp_bps=tp, sl_bps=sl)
        for c, back, bps, hold, tp, sl in itertools.product(*axes)
    ]
    if len(sets) != SETS:
        raise AssertionError(f"{len(sets)} sets")
    return sets


async def measure_grid() -> dict[str, Any]:
    """Time a thousand sets on eight instruments of ninety days, on two cores."""
    sets, setup = grid(), parts.default_setup()
    bars, signals, _ = market(QUARTER, 0.0)
    whole = request(bars, signals)
    compute = ProcessCompute(2)
    trades: list[int] = []

    async def one(part: list[Params]) -> None:
        swept = await compute.run(sweep, "EUR_USD", whole, setup, part)
        trades.extend(one.figures.spans["60"].trades for one in swept)

    await compute.run(os.getpid)  # the workers have begun
    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(INSTRUMENTS):
            for i in range(PARTS):
                group.start_soon(one, sets[i * SETS // PARTS : (i + 1) * SETS // PARTS])
    seconds = time.perf_counter() - began
    await compute.aclose()
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "sets": SETS,
        "instruments": INSTRUMENTS,
        "candles": QUARTER,
        "runs": len(trades),
        "trades_60d": [min(trades), max(trades)],
        "seconds": seconds,
        "largest_process_mb": largest / 1024,
    }


def main() -> None:
    """Print the figures, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    month = [
        measure(market(MONTH, share, turn=turn, always=always), beside=True)
        for share, turn, always in ((0.01, 10, False), (0.02, 10, False), (1.0, 3, True))
    ]
    levels = [measure(market(n, share), 15e-4) for n in (MONTH, QUARTER) for share in (0.001, 0.02, 0.2)]
    whole = [measure_whole(n) for n in (MONTH, QUARTER)]
    many = anyio.run(measure_grid)
    if as_json:
        print(json.dumps({"month": month, "levels": levels, "evaluate": whole, "grid": many}))
        return
    print(
        f"{'candles':>8} {'tp, sl':>7} {'trades':>7} {'kernel ms':>10} {'naive ms':>9} {'vectorbt ms':>12} {'backtesting.py ms':>18}"
    )
    for row in month + levels:
        others = [f"{row[name]:.1f}" if name in row else "" for name in ("vectorbt_ms", "backtesting_ms")]
        print(
            f"{row['candles']:>8} {'on' if row['levels'] else 'off':>7} {row['trades']:>7} "
            f"{row['kernel_ms']:>10.3f} {row['naive_ms']:>9.0f} {others[0]:>12} {others[1]:>18}"
        )
    for row in whole:
        print(f"whole evaluation of {row['candles']} candles, {row['trades']} trades: {row['evaluate_ms']:.2f} ms")
    print(
        f"{many['sets']} sets × {many['instruments']} instruments × {many['candles']} candles on two cores: {many['seconds']:.1f} s; "
        f"the largest process took {many['largest_process_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
