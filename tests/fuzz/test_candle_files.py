"""Files of candles as nobody should write them: checked candles, or one sentence that names the row; no file unfolds without bound."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import candle_files, candle_input
from hotbandd.core.candle_files import read_candles
from hotbandd.core.candles import MINUTE_MS
from hotbandd.errors import CandleInputError
from tests.fuzz.amount import examples

START = 1_760_000_040_000
HEADER = "time_ms,open,high,low,close,volume,bid,ask"
CELLS = [
    "",
    " ",
    "1.1",
    "-1",
    "0",
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1e999",
    "0x10",
    "1_0",
    "１",
    "'1'",
    '"1,1"',
    "\0",
    "9" * 400,
    "é",
]
ROW = f"{START},1.1,1.2,1.0,1.1,5,,"
OURS = '{"t":%d,"o":1.1,"h":1.2,"l":1.0,"c":1.1,"v":5}'
OANDA = '{"time":"2026-01-05T10:00:00.000000000Z","complete":true,"volume":5,"mid":{"o":"1.1","h":"1.2","l":"1.0","c":"1.1"}}'
SOUND = [
    f"{HEADER}\n{ROW}\n{START + MINUTE_MS},1.1,1.2,1.0,1.1,5,1.0,1.1",
    f"[{OURS % START},{OURS % (START + MINUTE_MS)}]",
    f"{OURS % START}\n{OURS % (START + MINUTE_MS)}",
    f'{{"granularity":"M1","candles":[{OANDA}]}}',
    f'{{"candles":[{OURS % START}]}}',
]


def told(data: bytes) -> None:
    """Read; whatever is taken can be true, and a refusal is one short sentence with the file's name."""
    try:
        found = read_candles(data, "x.csv")
    except CandleInputError as error:
        sentence = str(error)
        assert sentence.startswith("x.csv")
        assert "\n" not in sentence
        assert len(sentence) < 600
        return
    t, o, h, low, c, v, *_ = found.candles
    assert (np.diff(t) > 0).all()
    assert np.isfinite(np.stack((o, h, low, c, v))).all()
    assert (low > 0).all()
    assert ((low <= np.minimum(o, c)) & (h >= np.maximum(o, c)) & (v >= 0)).all()
    assert all(count >= 0 for count in found.refused.values())


def mutated(text: str, at: int, length: int, new: str) -> bytes:
    at %= len(text) + 1
    return (text[:at] + new + text[at + length :]).encode("utf-8", "surrogatepass")


ROWS = st.lists(
    st.lists(st.sampled_from([*CELLS, str(START), str(START + MINUTE_MS)]), min_size=5, max_size=9), max_size=5
)
NEW = st.one_of(
    st.sampled_from([*CELLS, "null", "[]", "{}", "[" * 3000, '{"candles":' * 2000, ",", "\n", "1e400", '"', "\\u0000"]),
    st.text(max_size=5),
)


@given(st.one_of(st.binary(max_size=200), ROWS.map(lambda rows: "\n".join([HEADER, *map(",".join, rows)]).encode())))
@examples(short=300, full=50_000)
def test_whatever_the_bytes_are_they_are_candles_or_a_sentence(data: bytes) -> None:
    told(data)
    told(gzip.compress(data))


@given(st.sampled_from(SOUND), st.integers(0, 500), st.integers(0, 20), NEW)
@examples(short=400, full=50_000)
def test_a_sound_file_with_one_place_spoilt_is_candles_or_a_sentence(text: str, at: int, length: int, new: str) -> None:
    told(mutated(text, at, length, new))


@given(st.sampled_from(SOUND[1:]), st.integers(0, 500), st.integers(0, 20), NEW)
@examples(short=300, full=50_000)
def test_a_strict_document_with_one_place_spoilt_is_candles_or_a_sentence(
    text: str, at: int, length: int, new: str
) -> None:
    try:
        found = candle_input.parse(mutated(text, at, length, new))
        candle_input.require_strict(found)
    except CandleInputError as error:
        sentence = str(error)
        assert sentence.endswith(".")
        assert len(sentence) < 600


@given(st.sampled_from(SOUND), st.integers(0, 200), st.binary(min_size=1, max_size=4))
@examples(short=150, full=20_000)
def test_a_packed_file_with_one_place_spoilt_is_candles_or_a_sentence(text: str, at: int, new: bytes) -> None:
    packed = bytearray(gzip.compress(text.encode()))
    at %= len(packed)
    packed[at : at + len(new)] = new
    told(bytes(packed))
    told(bytes(packed[:at]))
    told(gzip.compress(text.encode()) + bytes(new))


def test_a_file_that_unfolds_without_bound_is_refused_before_it_did(
    monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    if not full:
        monkeypatch.setattr(candle_files, "UNPACKED_BYTES", 10_000_000)
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([packer.compress(b"0" * 1_000_000) for _ in range(1200 if full else 60)] + [packer.flush()])
    assert len(bomb) < 2_000_000
    with pytest.raises(CandleInputError, match=r"^x\.csv\.gz unpacks to more than .* bytes; "):
        read_candles(bomb, "x.csv.gz")
    twice = gzip.compress(b"0" * 6_000_000)
    with pytest.raises(CandleInputError):
        read_candles(twice * 2, "x.csv.gz")


def test_two_packed_parts_are_one_file() -> None:
    first, second = SOUND[0].rsplit("\n", 1)
    assert read_candles(gzip.compress(f"{first}\n".encode()) + gzip.compress(second.encode()), "x").candles.size == 2
    assert read_candles(gzip.compress(SOUND[0].encode()) + b"\0" * 100, "x").candles.size == 2
