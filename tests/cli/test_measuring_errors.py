"""Wrong words and wrong files at ``manifold`` and ``backtest``: a sentence that names the culprit, and nothing written."""

from __future__ import annotations

import gzip

import pytest

from tests.cli.candles import MONDAY_MS, csv
from tests.cli.conftest import sentences

MINUTES = [MONDAY_MS + 60_000 * i for i in range(6)]
GOOD = csv(*(f"{t},1.1,1.2,1.0,1.1,5" for t in MINUTES))

UNUSABLE = {
    "empty.csv": (b"", "empty"),
    "unordered.csv": (
        csv(f"{MINUTES[1]},1,1,1,1,5", f"{MINUTES[0]},1,1,1,1,5").encode(),
        "row 3: its minute is before",
    ),
    "again.csv": (
        csv(f"{MINUTES[0]},1,1,1,1,5", f"{MINUTES[0]},1,2,1,1,5").encode(),
        "row 3: the minute of the row above",
    ),
    "narrow.csv": (
        csv(f"{MINUTES[0]},1,1,1,1", header="time_ms,open,high,low,close").encode(),
        "one column named volume",
    ),
    "words.csv": (csv(f"{MINUTES[0]},1,1,1,one,5").encode(), "row 2: close 'one' is not a number"),
    "short.csv": (csv(f"{MINUTES[0]},1,1,1,1,5", f"{MINUTES[1]},1,1").encode(), "row 3: 3 cells"),
    "binary.csv": (b"\xff\xfe\x00", "neither CSV nor JSON"),
    "cut.csv.gz": (gzip.compress(GOOD.encode())[:-9], "not a whole gzip file"),
    "cut.json": (b'[{"t": 1, "o": 1', "JSON"),
}


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("command", ["manifold --input", "backtest EUR_USD --candles"])
def test_a_file_that_cannot_be_used_is_refused_with_its_name_and_row(cli, tmp_path, command, name):
    content, complaint = UNUSABLE[name]
    (tmp_path / name).write_bytes(content)
    ended = cli(*command.split(), name)
    assert ended.code == 1
    assert complaint in sentences(ended)
    if name != "cut.json":  # what is read as the native generator's list does not know its name
        assert name in ended.err


@pytest.mark.parametrize("command", ["manifold --input", "backtest EUR_USD --candles"])
@pytest.mark.parametrize("name", ["gone.csv", "."])
def test_a_file_that_cannot_be_read_is_named(cli, command, name):
    ended = cli(*command.split(), name)
    assert ended.code == 1
    assert sentences(ended).startswith(f"{name} cannot be read")


def test_candles_that_cannot_be_true_are_left_out_and_counted(cli, tmp_path):
    bad = [
        f"{MINUTES[0]},1,0.8,0.9,1,5",
        f"{MINUTES[1]},nan,1,1,1,5",
        f"{MINUTES[2]},1,1,-1,1,5",
        f"{MINUTES[3]},1,1,1,1,5",
    ]
    (tmp_path / "bad.csv").write_text(csv(*bad))
    ended = cli("backtest", "EUR_USD", "--candles", "bad.csv", "--json")
    assert ended.code == 0
    assert ended.err == "hotbandd: bad.csv: left out 1 high_below_low, 1 not_finite, 1 not_positive.\n"


def test_a_file_without_any_usable_candle_is_refused(cli, tmp_path):
    (tmp_path / "bad.csv").write_text(csv(f"{MINUTES[0]},1,0.8,0.9,1,5"))
    ended = cli("backtest", "EUR_USD", "--candles", "bad.csv")
    assert ended.code == 1
    assert "bad.csv holds no usable candle of " in ended.err


WRONG_USAGE = {
    "manifold --input good.csv --profile nativ": "--profile must be strict or native",
    "manifold --input good.csv --kernel nativ": "--kernel must be calibrated or native",
    "manifold --input good.csv --profile native --kernel calibrated": "--profile native measures the native family",
    "manifold --input good.csv --instrument eurusd": "'eurusd' is not an instrument",
    "backtest EURUSD --candles good.csv": "'EURUSD' is not an instrument",
    "backtest ABC_DEF --candles good.csv": "No session is known for ABC, DEF",
    "backtest EUR_USD --candles good.csv --kernel nativ": "--kernel must be calibrated or native",
    "backtest EUR_USD --candles good.csv --param cmin=0.5": "one of c_min, direction_lookback",
    "backtest EUR_USD --candles good.csv --param c_min": "write K=V",
    "backtest EUR_USD --candles good.csv --param c_min=high": "'high' is no threshold",
    "backtest EUR_USD --candles good.csv --param c_min=p101": "'p101' is no threshold",
    "backtest EUR_USD --candles good.csv --param c_min=nan": "'nan' is no threshold",
    "backtest EUR_USD --candles good.csv --param c_min=inf": "'inf' is no threshold",
    "backtest EUR_USD --candles good.csv --param dir_threshold_bps=inf": "--param dir_threshold_bps",
    "backtest EUR_USD --candles good.csv --param direction_lookback=0": "--param direction_lookback: expected `int` >= 1",
    "backtest EUR_USD --candles good.csv --param direction_lookback=2.5": "--param direction_lookback",
    "backtest EUR_USD --candles good.csv --param strategy=fad": "--param strategy: take one of combined, fade",
    "backtest EUR_USD --candles good.csv --param tp_bps=-3": "--param tp_bps",
}


@pytest.mark.parametrize("words", WRONG_USAGE)
def test_wrong_words_are_wrong_usage(cli, tmp_path, words):
    (tmp_path / "good.csv").write_text(GOOD)
    ended = cli(*words.split())
    assert ended.code == 2
    assert WRONG_USAGE[words] in sentences(ended)


@pytest.mark.parametrize(
    "words", ["backtest", "backtest EUR_USD --candles good.csv --days 0", "manifold", "mainfold", "run --fast"]
)
def test_words_that_do_not_parse_show_the_usage(cli, words):
    ended = cli(*words.split())
    assert ended.code == 2
    assert ended.err.startswith("Usage: ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("place", ["taken", "good.csv/below.json"])
def test_an_output_that_cannot_be_written_leaves_nothing_behind(cli, tmp_path, place):
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / "taken").mkdir()
    ended = cli("manifold", "--input", "good.csv", "--output", place)
    assert ended.code == 2
    assert "cannot be written" in sentences(ended)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["good.csv", "taken"]
