"""Instruments: how their names look, and which ones are followed unless settings say otherwise."""

from __future__ import annotations

import re
from typing import Final

from hotbandd.errors import UsageError

DEFAULT_PAIRS: Final = ("EUR_USD", "USD_JPY", "GBP_USD", "EUR_JPY", "USD_CAD", "NZD_USD", "AUD_USD", "USD_CHF")

INSTRUMENT: Final = re.compile(r"[A-Z0-9]{2,12}_[A-Z0-9]{2,12}")


def instrument(text: str) -> str:
    """Return the name of an instrument as it is; it becomes part of keys and paths. Raises UsageError."""
    if not INSTRUMENT.fullmatch(text):
        raise UsageError(f"{text[:40]!r} is not an instrument, such as EUR_USD.")
    return text


def parse_pairs(text: str) -> tuple[str, ...]:
    """Return the instruments of a list separated by commas, in its order. Raises UsageError."""
    pairs = tuple(instrument(part.strip()) for part in text.split(","))
    twice = sorted({pair for pair in pairs if pairs.count(pair) > 1})
    if twice:
        raise UsageError(f"{', '.join(twice)} is listed more than once.")
    return pairs
