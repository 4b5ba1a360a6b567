"""Time one back-test, beside its naive twin in the same run: ``python -m benchmarks.backtest [--json]``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hotbandd.core.backtest import Request, evaluate
from hotbandd.core.candles import MINUTE_MS, of_columns
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns
from hotbandd.core.thresholds import Guards
from kernels import backtest
from kernels.backtest import OFF, Bars, Rules, Signals
from tests.kernels import naive_backtest

DAY_MIN = 1440
SIZES = (43_200, 97_000)
BOUNDS = Guards(enforce=True, s_min=0.4, h_max=0.7, r_max=0.6, hazard_max=1.0)
Case = tuple[Bars, Signals, Rules]


def market(n: int, entries: float) -> Case:
    """Draw a Gaussian walk whose direction holds for minutes, as after a slope, with a share of candles that may enter."""
    random = np.random.default_rng(1)
    close = np.exp(np.cumsum(random.standard_normal(n)) * 1.5e-4)
    opened = np.concatenate((close[:1], close[:-1]))
    wick = np.abs(random.standard_normal(n)) * 1e-4
    high, low = np.maximum(opened, close) * (1 + wick), np.minimum(opened, close) * (1 - wick)
    bars = Bars(np.arange(n, dtype=np.int64) * MINUTE_MS, opened, high, low, close)
    direction = np.repeat(random.choice([-1, 0, 0, 0, 1], n // 10 + 1), 10)[:n].astype(np.int8)
    minute = np.arange(n) % DAY_MIN
    closed = (minute < 7 * 60) | (minute >= 21 * 60 - 5)
    entry = np.where((random.random(n) < entries) & ~closed, direction, 0).astype(np.int8)
    return bars, Signals(entry, direction, closed), Rules(60_000, 60_000, 240 * MINUTE_MS, cost=2e-4)


def request(bars: Bars, signals: Signals) -> Request:
    """Build a whole run on the same candles, with metrics drawn at random."""
    n = len(bars.t)
    metrics = MetricColumns(*np.random.default_rng(2).random((5, n)))
    return Request(
        candles=of_columns(*bars, np.ones(n)),
        metrics=metrics,
        leave=signals.leave,
        params=Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0),
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


def measure(n: int, entries: float, level: float) -> dict[str, Any]:
    """Time the kernel and its twin on one market."""
    bars, signals, rules = market(n, entries)
    rules = rules._replace(tp=level, sl=level)
    trades = backtest.run(bars, signals, rules)
    twin = naive_backtest.run(bars, signals, rules)
    if [row["exit_ms"] for row in twin] != trades.exit_ms.tolist():
        raise AssertionError("the kernel and its twin disagree")
    return {
        "candles": n,
        "candidates": int(np.count_nonzero(signals.entry)),
        "levels": level < OFF,
        "trades": trades.size,
        "kernel_ms": best_ms(lambda: backtest.run(bars, signals, rules), 50),
        "naive_ms": best_ms(lambda: naive_backtest.run(bars, signals, rules), 2),
    }


def measure_whole(n: int) -> dict[str, Any]:
    """Time a whole evaluation: direction, guards, run, spans."""
    bars, signals, _ = market(n, 0.0)
    whole = request(bars, signals)
    return {"candles": n, "trades": evaluate(whole).trades.size, "evaluate_ms": best_ms(lambda: evaluate(whole), 30)}


def main() -> None:
    """Print the figures, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    kernel = [measure(n, entries, level) for n in SIZES for entries in (0.001, 0.02, 0.2) for level in (OFF, 15e-4)]
    whole = [measure_whole(n) for n in SIZES]
    if as_json:
        print(json.dumps({"kernel": kernel, "evaluate": whole}))
        return
    print(f"{'candles':>8} {'may enter':>10} {'tp, sl':>7} {'trades':>7} {'kernel ms':>10} {'naive ms':>9}")
    for row in kernel:
        print(
            f"{row['candles']:>8} {row['candidates']:>10} {'on' if row['levels'] else 'off':>7} {row['trades']:>7} "
            f"{row['kernel_ms']:>10.3f} {row['naive_ms']:>9.0f}"
        )
    for row in whole:
        print(f"whole evaluation of {row['candles']} candles, {row['trades']} trades: {row['evaluate_ms']:.2f} ms")


if __name__ == "__main__":
    main()
