"""What sets one instrument apart from another: its level, decimals, liveliness, spread and hours."""

from __future__ import annotations

from typing import NamedTuple

from hotbandd.adapters.simulator.draws import Draws


class Profile(NamedTuple):
    """Of an instrument: ``volatility`` and ``spread`` in bps (per minute, at full activity), ``ticks`` per lively minute.

    ``asia``: how much of its activity falls into the Asian hours, against the other pairs.
    """

    level: float
    decimals: int
    volatility: float
    spread: float
    ticks: float
    asia: float


_PROFILES = {
    "EUR_USD": Profile(1.09, 5, 0.85, 1.2, 160, 1.0),
    "USD_JPY": Profile(149.0, 3, 0.95, 1.0, 170, 1.8),
    "GBP_USD": Profile(1.27, 5, 0.95, 1.4, 150, 1.0),
    "EUR_JPY": Profile(162.0, 3, 1.00, 1.5, 160, 1.8),
    "USD_CAD": Profile(1.36, 5, 0.75, 1.3, 110, 0.8),
    "NZD_USD": Profile(0.61, 5, 1.10, 2.6, 90, 2.0),
    "AUD_USD": Profile(0.66, 5, 1.05, 2.0, 110, 2.0),
    "USD_CHF": Profile(0.88, 5, 0.85, 1.7, 100, 1.0),
}


def profile(instrument: str) -> Profile:
    """Return the profile of an instrument; one that is not among the usual eight draws its own from its name."""
    known = _PROFILES.get(instrument)
    if known is not None:
        return known
    level, volatility, spread, ticks = Draws(0, instrument, "profile").uniform(4).tolist()
    yen = instrument.endswith("_JPY")
    return Profile(
        level=(60 + 120 * level) if yen else (0.5 + 1.5 * level),
        decimals=3 if yen else 5,
        volatility=0.8 + 0.5 * volatility,
        spread=1.5 + 2.0 * spread,
        ticks=60 + 80 * ticks,
        asia=1.0,
    )
