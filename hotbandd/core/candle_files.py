"""Files of candles: CSV, JSON and JSON lines, plain or gzipped, as text into checked candles.

A file that is structurally unreadable (no such column, a cell that is no number, minutes out of order, one minute with
two different candles) raises CandleInputError, which names the row. A single candle that cannot be true is counted
and left out, as in ``core.candles.check``.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from hotbandd.core.candle_json import UNREADABLE, Decoded, decode_rows, is_oanda
from hotbandd.core.candles import Candles, Checked, Floats, check, empty, of_any
from hotbandd.errors import CandleInputError

REQUIRED = ("time_ms", "open", "high", "low", "close", "volume")
QUOTES = ("bid", "ask")
UNPACKED_BYTES = 1_000_000_000
"""Longest unpacked file: the minutes of some thirty years. A packed one may claim a thousand times its own length."""

_CHUNK = 4096
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_MS = 2.0**53


class _Body(msgspec.Struct):
    """A document around rows: OANDA's answer, or the native generator's input."""

    candles: list[msgspec.Raw]
    granularity: str = "M1"


class _Layout(NamedTuple):
    """Cells in a row; the columns that are read, and where each of them stands."""

    width: int
    wanted: list[str]
    at: list[int]


def read_candles(data: bytes, name: str) -> Checked:
    """Read a file's bytes: CSV with a header, a JSON list, ``{"candles": […]}`` or JSON lines, whichever they hold.

    ``name`` stands in errors. Raises CandleInputError.
    """
    plain = _unpacked(data, name).removeprefix(b"\xef\xbb\xbf").strip()
    if not plain:
        raise CandleInputError(f"{name} is empty; give a file with candles.")
    if plain[:1] not in b"[{":
        return _checked(_of_csv(plain, name), first_row=2, incomplete=0, name=name)
    decoded = _of_json(plain, name)
    return _checked(decoded.candles, first_row=1, incomplete=len(decoded.incomplete), name=name)


def ordered(candles: Candles, *, first_row: int, name: str) -> None:
    """Raise CandleInputError where minutes go backwards, or one minute has two different candles."""
    steps = np.diff(candles.t)
    backwards = np.flatnonzero(steps < 0)
    if len(backwards):
        row = int(backwards[0]) + 1 + first_row
        raise CandleInputError(f"{name}, row {row}: its minute is before the row above; sort the file by time.")
    again = np.flatnonzero(steps == 0)
    for column in candles[1:]:
        differs = ~((column[again] == column[again + 1]) | (np.isnan(column[again]) & np.isnan(column[again + 1])))
        if differs.any():
            row = int(again[differs][0]) + 1 + first_row
            raise CandleInputError(f"{name}, row {row}: the minute of the row above, with another candle; keep one.")


def _checked(candles: Candles, *, first_row: int, incomplete: int, name: str) -> Checked:
    ordered(candles, first_row=first_row, name=name)
    kept, refused = check(candles)
    counts = Counter(refused) + Counter(incomplete=incomplete)
    return Checked(kept, dict(counts))


def _unpacked(data: bytes, name: str) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            plain = packed.read(UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise CandleInputError(f"{name} is not a whole gzip file ({fault}); fetch it again.") from fault
    if len(plain) > UNPACKED_BYTES:
        raise CandleInputError(f"{name} unpacks to more than {UNPACKED_BYTES} bytes; split it.")
    return plain


def _of_json(data: bytes, name: str) -> Decoded:
    rows = _json_rows(data, name)
    decoded = decode_rows(rows, oanda=bool(rows) and is_oanda(rows[0]))
    for position, fault in decoded.faults.items():
        raise CandleInputError(f"{name}, row {position + 1}: {fault}.")
    return decoded


def _json_rows(data: bytes, name: str) -> Sequence[msgspec.Raw | bytes]:
    """Return the rows of a list, of a document or of lines; a first line that is a row by itself means lines."""
    try:
        if data.startswith(b"["):
            return msgspec.json.decode(data, type=list[msgspec.Raw])
        if _is_row(data.split(b"\n", 1)[0]):
            return [line for line in data.splitlines() if line.strip()]
        body = msgspec.json.decode(data, type=_Body)
    except UNREADABLE as fault:
        raise CandleInputError(f"{name} is not JSON with candles ({fault}).") from fault
    if body.granularity != "M1":
        raise CandleInputError(f"{name} holds {body.granularity} candles; give one-minute candles (M1).")
    return body.candles


def _is_row(line: bytes) -> bool:
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except UNREADABLE:
        return False
    return "candles" not in fields


def _of_csv(data: bytes, name: str) -> Candles:
    try:
        header, *lines = data.decode().splitlines()
    except UnicodeDecodeError as fault:
        raise CandleInputError(f"{name} is neither CSV nor JSON (byte {fault.start} is not text).") from fault
    layout = _layout(header, name)
    if not lines:
        return empty()
    starts = range(0, len(lines), _CHUNK)
    table = np.concatenate([_chunk(lines[i : i + _CHUNK], i + 2, layout, name) for i in starts])
    return _of_table(table, layout.wanted, name)


def _layout(header: str, name: str) -> _Layout:
    names = [cell.strip() for cell in header.split(",")]
    wanted = [*REQUIRED, *(quote for quote in QUOTES if quote in names)]
    for column in wanted:
        if names.count(column) != 1:
            raise CandleInputError(f"{name}, row 1: the header needs one column named {column}.")
    return _Layout(len(names), wanted, [names.index(column) for column in wanted])


def _of_table(table: Floats, wanted: Sequence[str], name: str) -> Candles:
    times = table[:, 0]
    bad = np.flatnonzero(~((times >= 0) & (times < _MAX_MS) & (times == np.floor(times))))
    if len(bad):
        raise CandleInputError(f"{name}, row {int(bad[0]) + 2}: time_ms is not a whole number of milliseconds.")
    columns = dict(zip(wanted, (np.ascontiguousarray(column) for column in table.T), strict=True))
    unknown = np.full(len(times), np.nan)
    return of_any((times.astype(np.int64), *(columns.get(column, unknown) for column in (*REQUIRED[1:], *QUOTES))))


def _chunk(lines: list[str], first_row: int, layout: _Layout, name: str) -> Floats:
    """Parse lines at once; where that fails, row by row, which finds the culprit (and lets quotes be empty)."""
    text = "\n".join(lines)
    if text.count(",") == len(lines) * (layout.width - 1):
        try:
            table = np.loadtxt(io.StringIO(text), delimiter=",", comments=None, usecols=layout.at, ndmin=2)
        except ValueError:
            table = np.empty((0, 0))
        if len(table) == len(lines):
            return table
    return np.array([_cells(line, row, layout, name) for row, line in enumerate(lines, first_row)])


def _cells(line: str, row: int, layout: _Layout, name: str) -> list[float]:
    cells = line.split(",")
    if len(cells) != layout.width:
        raise CandleInputError(f"{name}, row {row}: {len(cells)} cells, where the header has {layout.width}.")
    values = []
    for column, index in zip(layout.wanted, layout.at, strict=True):
        cell = cells[index].strip()
        try:
            values.append(float("nan" if column in QUOTES and not cell else cell))
        except ValueError as fault:
            raise CandleInputError(f"{name}, row {row}: {column} {cell[:40]!r} is not a number.") from fault
    return values
