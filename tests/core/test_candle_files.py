from __future__ import annotations

import gzip
import json
import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core.candle_files import read_candles
from hotbandd.core.candles import MINUTE_MS, Candle, check, of_rows
from hotbandd.errors import CandleInputError

T0 = 1_735_689_600_000
HEADER = "time_ms,open,high,low,close,volume"
FIRST = f"{T0},1.1,1.2,1.0,1.1,5"
SECOND = f"{T0 + MINUTE_MS},1.1,1.2,1.0,1.15,6"
OURS = {"t": T0, "o": 1.1, "h": 1.2, "l": 1.0, "c": 1.15, "v": 3}
PRICES = {"o": "1.10000", "h": "1.20000", "l": "1.00000", "c": "1.15000"}
OANDA = {"time": "2025-01-01T00:00:00.000000000Z", "complete": True, "volume": 3, "mid": PRICES}


def csv(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows]).encode()


def test_columns_are_found_by_name_in_any_order_among_others() -> None:
    data = csv(f"x,5,1.15,1.0,1.2,1.1,{T0}", header="note,volume,close,low,high,open,time_ms")
    assert list(read_candles(data, "f").candles.rows()) == [Candle(T0, 1.1, 1.2, 1.0, 1.15, 5.0)]


def test_quotes_are_optional_and_may_be_empty() -> None:
    data = csv(FIRST + ",1.09,1.11", SECOND + ",,", header=HEADER + ",bid,ask")
    assert [(row.bid, row.ask) for row in read_candles(data, "f").candles.rows()] == [(1.09, 1.11), (None, None)]


@pytest.mark.parametrize("data", [csv(), b"[]", b'{"candles": []}'])
def test_a_file_may_hold_no_candle(data: bytes) -> None:
    assert read_candles(data, "f").candles.size == 0


def test_gzip_byte_order_marks_and_windows_line_ends_are_understood() -> None:
    data = b"\xef\xbb\xbf" + csv(FIRST, SECOND).replace(b"\n", b"\r\n") + b"\r\n"
    assert read_candles(gzip.compress(data), "f").candles.close.tolist() == [1.1, 1.15]


@pytest.mark.parametrize(
    "data",
    [
        json.dumps([OURS]),
        json.dumps({"candles": [OURS]}, indent=1),
        json.dumps(OURS),
        json.dumps([OANDA]),
        json.dumps({"instrument": "EUR_USD", "granularity": "M1", "candles": [OANDA]}),
        json.dumps(OANDA) + "\n\n" + json.dumps(OANDA),
    ],
)
def test_every_json_shape_gives_the_same_candle(data: str) -> None:
    assert list(read_candles(data.encode(), "f").candles.rows()) == [Candle(T0, 1.1, 1.2, 1.0, 1.15, 3.0)]


def test_quotes_of_oanda_are_their_closes() -> None:
    row = OANDA | {"bid": PRICES | {"c": "1.14"}, "ask": PRICES | {"c": "1.16"}}
    (candle,) = read_candles(json.dumps([row]).encode(), "f").candles.rows()
    assert (candle.bid, candle.ask) == (1.14, 1.16)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "f is empty"),
        (b"\n\n", "f is empty"),
        (b"\x1f\x8bnonsense", "not a whole gzip file"),
        (gzip.compress(csv(FIRST))[:-9], "not a whole gzip file"),
        (b"\xff\xfe\x00", "neither CSV nor JSON"),
        (csv(FIRST, header="time,open,high,low,close,volume"), "row 1: the header needs one column named time_ms"),
        (csv(FIRST, header="time_ms,open,open,low,close,volume"), "row 1: the header needs one column named open"),
        (csv(FIRST, SECOND + ",7"), "row 3: 7 cells, where the header has 6"),
        (csv(FIRST, SECOND + ",7", SECOND.rsplit(",", 1)[0]), "row 3: 7 cells"),
        (csv(FIRST, "", SECOND), "row 3: 1 cells"),
        (csv(FIRST, SECOND.replace("1.15", "abc")), "row 3: close 'abc' is not a number"),
        (csv(FIRST, SECOND.replace("1.15", "")), "row 3: close '' is not a number"),
        (csv(FIRST.replace(str(T0), f"{T0}.5")), "row 2: time_ms is not a whole number"),
        (csv(FIRST.replace(str(T0), "nan")), "row 2: time_ms is not a whole number"),
        (csv(FIRST.replace(str(T0), "1e300")), "row 2: time_ms is not a whole number"),
        (csv(SECOND, FIRST), "row 3: its minute is before the row above"),
        (csv(FIRST, FIRST.replace("1.1,5", "1.12,5")), "row 3: the minute of the row above, with another candle"),
        (csv(FIRST, FIRST.replace("1.1,5", "nan,5")), "row 3: the minute of the row above, with another candle"),
        (b'{"candles": [', "not JSON with candles"),
        (b'{"rows": []}\n', "row 1"),
        (json.dumps([OURS, OURS | {"c": "x"}]).encode(), "row 2"),
        (json.dumps([{k: v for k, v in OURS.items() if k != "v"}]).encode(), "row 1: .*`v`"),
        (json.dumps([OURS | {"t": -5}]).encode(), "row 1: `t` is not a time"),
        (json.dumps([OURS | {"t": 10**40}]).encode(), "row 1"),
        (json.dumps([OANDA | {"time": "2025-01-01T00:00:00"}]).encode(), "row 1"),
        (json.dumps({"granularity": "M5", "candles": []}).encode(), "holds M5 candles"),
        (json.dumps([OURS | {"t": T0 + MINUTE_MS}, OURS]).encode(), "row 2: its minute is before"),
        (b"[" * 5000, "not JSON with candles"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_with_its_row(data: bytes, says: str) -> None:
    with pytest.raises(CandleInputError, match=says) as caught:
        read_candles(data, "f")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (SECOND.replace("1.15", "nan"), "not_finite"),
        (SECOND.replace("1.15", "inf"), "not_finite"),
        (SECOND.replace("1.15", "-1.15"), "not_positive"),
        (SECOND.replace("1.15", "1.3"), "high_below_low"),
        (SECOND.replace(str(T0 + MINUTE_MS), str(T0 + 1)), "off_grid"),
        (FIRST, "duplicate"),
    ],
)
def test_a_single_bad_candle_is_counted_and_left_out(row: str, reason: str) -> None:
    candles, refused = read_candles(csv(FIRST, row), "f")
    assert (candles.size, refused) == (1, {reason: 1})


def test_incomplete_and_nan_candles_of_oanda_are_counted_and_left_out() -> None:
    rows = [OANDA | {"mid": PRICES | {"c": "NaN"}}, OANDA | {"time": "2025-01-01T00:01:00Z", "complete": False}]
    candles, refused = read_candles(json.dumps(rows).encode(), "f")
    assert (candles.size, refused) == (0, {"not_finite": 1, "incomplete": 1})


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.text(max_size=80).map(lambda s: csv(s, SECOND))
)
def test_any_input_is_either_read_or_refused_in_one_sentence(data: bytes) -> None:
    with suppress(CandleInputError):
        assert not check(read_candles(data, "f").candles).refused


prices = st.floats(0.01, 1000, allow_nan=False)


@st.composite
def candle(draw: st.DrawFn) -> tuple[float, ...]:
    low, first, last, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
    quotes = draw(st.none() | st.just((first, last)))
    return (first, high, low, last, float(draw(st.integers(0, 10_000))), *(quotes or (math.nan, math.nan)))


@given(st.lists(candle(), min_size=1, max_size=20))
def test_what_is_written_is_read_back_to_the_last_bit(rows: list[tuple[float, ...]]) -> None:
    listed = [
        Candle(T0 + i * MINUTE_MS, *row[:5], *(None if math.isnan(quote) else quote for quote in row[5:]))
        for i, row in enumerate(rows)
    ]
    cells = [
        ",".join("" if value is None else repr(value) for value in (r.t, r.o, r.h, r.l, r.c, r.v, r.bid, r.ask))
        for r in listed
    ]
    got = read_candles(csv(*cells, header=HEADER + ",bid,ask"), "f").candles
    for ours, theirs in zip(got, of_rows(listed), strict=True):
        np.testing.assert_array_equal(ours, theirs)
