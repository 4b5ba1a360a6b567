"""Many parameter sets over the same candles: what they share is worked out once, and only figures are kept."""

from __future__ import annotations

from collections.abc import Sequence

from hotbandd.core import strategy
from hotbandd.core.backtest import Bench, Request
from hotbandd.core.documents import Params
from hotbandd.core.setup import Setup
from hotbandd.core.spans import Figures


def sweep(instrument: str, request: Request, setup: Setup, sets: Sequence[Params]) -> list[Figures]:
    """Return the figures of each parameter set, in the order given; picklable, so that a worker can take a part of a grid.

    ``request`` tells candles, metrics, sessions and guards; its parameters do not matter. Raises UsageError for an unknown
    strategy or a malformed threshold.
    """
    bench = Bench(request)
    found: dict[int, Figures] = {}
    for i in sorted(range(len(sets)), key=lambda i: (repr(strategy.reads(sets[i])), repr(sets[i].c_min))):
        cost_bps = setup.cost(instrument, sets[i], request.candles, request.start_ms)
        found[i] = bench.result(sets[i], cost_bps).figures
    return [found[i] for i in range(len(sets))]
