from __future__ import annotations

import json

import numpy as np
import pytest

from hotbandd.core.candle_input import parse, require_strict
from hotbandd.core.candles import MINUTE_MS
from hotbandd.errors import CandleInputError

GOOD = {"t": 0, "o": 1.0, "h": 1.2, "l": 0.9, "c": 1.1, "v": 5}


def rows(*changes):
    return [{**GOOD, "t": i * MINUTE_MS, **change} for i, change in enumerate(changes)]


def test_candles_keep_their_order_and_their_repetitions():
    document = rows({"t": 120_000}, {"t": 60_000}, {"t": 60_000, "c": -1})
    for data in (document, {"candles": document, "instrument": "EUR_USD"}):
        candles = parse(json.dumps(data))
        assert candles.t.tolist() == [120_000, 60_000, 60_000]
        assert candles.close.tolist() == [1.1, 1.1, -1.0]
        assert candles.volume.tolist() == [5.0, 5.0, 5.0]
        assert np.isnan(candles.bid).all()


def test_no_candles_are_no_candles():
    assert parse("[]").size == 0


@pytest.mark.parametrize("name", list(GOOD))
def test_a_row_that_lacks_a_field_is_named(name):
    document = rows({}, {})
    del document[1][name]
    with pytest.raises(CandleInputError, match=f"Row 2: {name} is missing"):
        parse(json.dumps(document))


@pytest.mark.parametrize("value", ["1.1", None, True, [1.1], {}])
def test_a_row_that_holds_no_number_is_named(value):
    with pytest.raises(CandleInputError, match="Row 1: c holds no number"):
        parse(json.dumps(rows({"c": value})))


@pytest.mark.parametrize("data", ["", "{", '{"candles": 3}', "3", "{}", '[{"t": NaN}]', "[1e999]"])
def test_what_is_no_list_of_candles_is_refused(data):
    with pytest.raises(CandleInputError):
        parse(data)


@pytest.mark.parametrize("row", [3, None, []])
def test_a_row_that_is_no_candle_is_named(row):
    with pytest.raises(CandleInputError, match="Row 2 "):
        parse(json.dumps([*rows({}), row]))


@pytest.mark.parametrize("t", [0.5, 1e300, 2**63, -(2**70)])
def test_a_stamp_that_is_no_whole_millisecond_is_named(t):
    with pytest.raises(CandleInputError, match="Row 1"):
        parse(json.dumps(rows({"t": t})))


@pytest.mark.parametrize("field", ["o", "h", "l", "c"])
@pytest.mark.parametrize("price", [0, -1.1])
def test_the_strict_profile_names_the_row_of_a_price_that_cannot_be(field, price):
    with pytest.raises(CandleInputError, match="Row 2 holds a price that is not positive"):
        require_strict(parse(json.dumps(rows({}, {field: price}, {}))))


@pytest.mark.parametrize("stamp", [0, 60_000])
def test_the_strict_profile_names_the_row_whose_stamp_does_not_ascend(stamp):
    with pytest.raises(CandleInputError, match="Row 3 "):
        require_strict(parse(json.dumps(rows({}, {}, {"t": stamp}))))


def test_the_strict_profile_names_the_row_of_a_value_that_is_not_finite():
    candles = parse(json.dumps(rows({}, {})))
    candles.volume[1] = np.nan
    with pytest.raises(CandleInputError, match="Row 2 holds a value that is not finite"):
        require_strict(candles)


def test_the_strict_profile_takes_candles_that_ascend():
    require_strict(parse(json.dumps(rows({}, {}, {"v": 0}))))
    require_strict(parse("[]"))
