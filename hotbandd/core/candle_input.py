"""Candle documents from outside: a list of ``{t, o, h, l, c, v}``, or ``{"candles": […]}`` around one."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from hotbandd.core.candle_json import UNREADABLE
from hotbandd.core.candles import MINUTE_MS, Candles, of_columns
from hotbandd.errors import CandleInputError

_FIELDS = ("t", "o", "h", "l", "c", "v")
_LARGEST = 2**64  # of an integer; a longer one may not even be a float
_LATEST_MS = 2**63 - 1 - MINUTE_MS


def parse(data: bytes | str) -> Candles:
    """Read candles in the order given, unsorted and with their duplicates, and prices and volumes of any sign.

    Raises CandleInputError, naming the row, where a field is missing or holds no number.
    """
    try:
        document: Any = msgspec.json.decode(data)
    except UNREADABLE as error:
        raise CandleInputError(f"The candles are not JSON: {error}.") from error
    rows = document.get("candles") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise CandleInputError('Candles come as a list, or as {"candles": [...]} around one.')
    values = [_row(number, row) for number, row in enumerate(rows, start=1)]
    table = np.array([value[1:] for value in values], dtype=np.float64).reshape(len(values), len(_FIELDS) - 1)
    t = np.array([value[0] for value in values], dtype=np.int64)
    return of_columns(t, *(np.ascontiguousarray(column) for column in table.T))


def _row(number: int, row: Any) -> tuple[int | float, ...]:
    if not isinstance(row, dict):
        raise CandleInputError(f"Row {number} is not a candle with {', '.join(_FIELDS)}.")
    for name in _FIELDS:
        value = row.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            problem = "holds no number" if name in row else "is missing"
            raise CandleInputError(f"Row {number}: {name} {problem}.")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise CandleInputError(f"Row {number}: {name} is too large a number.")
    stamp = row["t"]
    if int(stamp) != stamp or abs(stamp) > _LATEST_MS:
        raise CandleInputError(f"Row {number}: t is not a time in whole milliseconds.")
    return tuple(row[name] for name in _FIELDS)


def require_strict(candles: Candles) -> None:
    """Refuse candles that no window may be measured on, naming the first such row.

    Stamps ascend strictly, prices are positive, and every field is finite.
    """
    prices = np.stack(candles[1:5])
    faults: dict[str, Any] = {
        "holds a value that is not finite": ~np.isfinite(np.stack(candles[1:6])).all(axis=0),
        "holds a price that is not positive": (prices <= 0.0).any(axis=0),
        "comes before, or again with, the stamp of the row above": np.concatenate(
            (np.zeros(min(1, candles.size), dtype=np.bool_), np.diff(candles.t) <= 0)
        ),
    }
    for fault, mask in faults.items():
        if mask.any():
            raise CandleInputError(f"Row {int(np.argmax(mask)) + 1} {fault}.")
