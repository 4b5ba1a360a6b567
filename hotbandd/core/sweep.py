"""Many parameter sets over the same candles: what they share is worked out once, and only figures are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hotbandd.core import strategy
from hotbandd.core.backtest import Bench, Request, trade_rows
from hotbandd.core.candles import DAY_MS, Floats
from hotbandd.core.documents import Params
from hotbandd.core.setup import Setup
from hotbandd.core.spans import Figures
from kernels.backtest import Trades
from kernels.luck import sharpe


class Swept(NamedTuple):
    """One run of a sweep.

    ``daily``: log returns after cost by day of the exit, one for each 24 hours of the run, the last ones ending with it;
    ``sharpe``: of the returns trade by trade.
    """

    figures: Figures
    daily: list[float]
    sharpe: float


def sweep(request: Request, instrument: str, setup: Setup, sets: Sequence[Params]) -> list[Swept]:
    """Run each parameter set, and return what came of it in the order given; picklable, so that a worker can take a part of a grid.

    ``request`` tells candles, metrics, sessions and guards; its parameters do not matter. Raises UsageError for an unknown
    strategy or a malformed threshold, InputError where a strategy found elsewhere fails.
    """
    bench = Bench(request)
    found: dict[int, Swept] = {}
    for i in sorted(range(len(sets)), key=lambda i: (repr(strategy.reads(sets[i])), repr(sets[i].c_min))):
        cost_bps = setup.cost(instrument, sets[i], request.candles, request.start_ms)
        result = bench.result(sets[i], cost_bps)
        daily = by_day(result.trades, request.end_ms, request.days)
        found[i] = Swept(result.figures, daily.tolist(), sharpe(result.trades.ret))
    return [found[i] for i in range(len(sets))]


def trades_of_each(
    request: Request, instrument: str, setup: Setup, sets: Sequence[Params]
) -> list[list[dict[str, Any]]]:
    """Return the trades of each parameter set as rows, in the order given; picklable, and raises, as ``sweep``."""
    bench = Bench(request)
    costs = [setup.cost(instrument, params, request.candles, request.start_ms) for params in sets]
    return [trade_rows(bench.result(params, cost)) for params, cost in zip(sets, costs, strict=True)]


def by_day(trades: Trades, end_ms: int, days: int) -> Floats:
    """Sum returns by day of the exit, float64[days]: days of 24 hours, the last one ending with the run."""
    day = days - 1 - (end_ms - trades.exit_ms) // DAY_MS
    return np.bincount(day, weights=trades.ret, minlength=days).astype(np.float64)
