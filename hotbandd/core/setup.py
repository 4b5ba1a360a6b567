"""What every back-test of an instrument depends on besides its parameters: guards, sessions, costs, strategies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from hotbandd.core.candles import DAY_MS, Candles
from hotbandd.core.documents import Params
from hotbandd.core.strategy import BPS, BUILT_IN, Direction
from hotbandd.core.thresholds import Guards

SPREAD_DAYS: Final = 30
SLIPPAGE_BPS: Final = 0.2
DEFAULT_COST_BPS: Final[Mapping[str, float]] = {
    "USD_JPY": 1.6,
    "USD_CAD": 2.0,
    "EUR_USD": 2.2,
    "GBP_USD": 2.3,
    "EUR_JPY": 2.4,
    "USD_CHF": 2.7,
    "AUD_USD": 3.2,
    "NZD_USD": 3.9,
}
OTHER_COST_BPS: Final = 3.0

ENFORCED: Final[Mapping[str, bool]] = {"calibrated": True, "native": False}  # whether guards filter entries, by default


@dataclass(frozen=True)
class Setup:
    """What a back-test depends on besides its parameters, from the settings.

    ``windows`` is the canonical text of the session overrides, empty without them; ``costs`` the costs set per
    instrument; ``rules`` the accepted strategies.
    """

    kernel: str
    guards: Guards
    sessions: bool
    exit_minutes: int
    windows: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    cost_from_spread: bool = False
    rules: Mapping[str, Direction] = field(default_factory=lambda: BUILT_IN)

    def cost(self, instrument: str, params: Params, candles: Candles, start_ms: int) -> float:
        """Return a run's cost in basis points.

        The one of its parameters; else the measured spread, if asked for and known; else as set, or by default.
        """
        if params.cost_bps is not None:
            return params.cost_bps
        spread = spread_cost_bps(candles, start_ms) if self.cost_from_spread else None
        return cost_bps(instrument, self.costs) if spread is None else spread


def cost_bps(instrument: str, overrides: Mapping[str, float]) -> float:
    """Return the cost of a round trip in basis points: the override, else the instrument's default."""
    return overrides.get(instrument, DEFAULT_COST_BPS.get(instrument, OTHER_COST_BPS))


def spread_cost_bps(candles: Candles, start_ms: int) -> float | None:
    """Return the median spread of the 30 days before a run's start plus slippage, in basis points; None without quotes."""
    before = candles.between(start_ms - SPREAD_DAYS * DAY_MS, start_ms).closed_by(start_ms)
    spread = BPS * (before.ask - before.bid) / ((before.ask + before.bid) / 2)
    quoted = spread[np.isfinite(spread)]
    return float(np.median(quoted)) + SLIPPAGE_BPS if len(quoted) else None
