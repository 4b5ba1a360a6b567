"""Candles as JSON rows: ours (``{"t","o","h","l","c","v"}``) and OANDA's, decoded strictly into columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct

from hotbandd.core.candles import Candles

# What is raised for bytes that are no JSON of ours: msgspec's own, bytes that are no text, brackets nested without end.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_UNKNOWN = float("nan")

Columns = tuple[int, float, float, float, float, float, float, float]


class _Row(Struct, frozen=True):
    t: int
    o: float
    h: float
    l: float  # noqa: E741  the name is part of the contract
    c: float
    v: float
    bid: float = _UNKNOWN
    ask: float = _UNKNOWN


class _Prices(Struct, frozen=True):
    o: float
    h: float
    l: float  # noqa: E741  OANDA's name
    c: float


class _Close(Struct, frozen=True):
    c: float = _UNKNOWN


_NO_QUOTE = _Close()


class _OandaRow(Struct, frozen=True):
    time: Annotated[datetime, Meta(tz=True)]
    complete: bool
    volume: int
    mid: _Prices
    bid: _Close = _NO_QUOTE
    ask: _Close = _NO_QUOTE


_decode_row = msgspec.json.Decoder(_Row).decode
_decode_oanda = msgspec.json.Decoder(_OandaRow, strict=False).decode  # prices are strings


class Decoded(NamedTuple):
    """Columns of the complete candles, unchecked and in the order given; the times of the incomplete ones; row → fault."""

    candles: Candles
    incomplete: list[int]
    faults: dict[int, str]


def is_oanda(row: bytes | memoryview) -> bool:
    """Tell OANDA's rows from ours."""
    return b'"time"' in bytes(row)


def decode_rows(rows: Iterable[msgspec.Raw | bytes], *, oanda: bool) -> Decoded:
    """Decode rows; one that lacks a field or holds no number is a fault, keyed by its position from 0."""
    parse: Callable[[msgspec.Raw | bytes], tuple[Columns, bool]] = _parse_oanda if oanda else _parse_row
    kept: list[Columns] = []
    incomplete: list[int] = []
    faults: dict[int, str] = {}
    for position, row in enumerate(rows):
        try:
            columns, complete = parse(row)
        except (*UNREADABLE, OverflowError) as fault:
            faults[position] = str(fault)
            continue
        if complete:
            kept.append(columns)
        else:
            incomplete.append(columns[0])
    return Decoded(of_tuples(kept), incomplete, faults)


def of_tuples(rows: Sequence[Columns]) -> Candles:
    """Build candles from rows of eight values."""
    table = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 7)
    return Candles(np.array([row[0] for row in rows], dtype=np.int64), *(np.ascontiguousarray(c) for c in table.T))


def _parse_row(row: msgspec.Raw | bytes) -> tuple[Columns, bool]:
    r = _decode_row(row)
    if not 0 <= r.t < 2**53:
        raise OverflowError("`t` is not a time in milliseconds")
    return (r.t, r.o, r.h, r.l, r.c, r.v, r.bid, r.ask), True


def _parse_oanda(row: msgspec.Raw | bytes) -> tuple[Columns, bool]:
    r = _decode_oanda(row)
    t = int(r.time.timestamp()) * 1000 + r.time.microsecond // 1000
    mid = r.mid
    return (t, mid.o, mid.h, mid.l, mid.c, float(r.volume), r.bid.c, r.ask.c), r.complete
