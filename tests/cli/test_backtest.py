"""``hotbandd backtest``: its report, for people and for programs."""

from __future__ import annotations

import json
import math

import anyio
import pytest

from hotbandd import parts
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.settings import load
from tests.cli.candles import simulated, written
from tests.cli.conftest import sentences
from tests.valkey import owner

REASONS = {"opposite", "tp", "sl", "max_hold", "session", "end"}


@pytest.fixture(scope="module")
def weeks() -> str:
    return written(simulated("EUR_USD", 21))


@pytest.fixture
def report(cli, tmp_path, weeks):
    (tmp_path / "EUR_USD.csv").write_text(weeks)

    def run(*words: str):
        ended = cli("backtest", "EUR_USD", "--candles", "EUR_USD.csv", "--json", *words)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return run


def test_the_report_has_every_field_and_its_trades_add_up_to_its_spans(report):
    found = report("--param", "c_min=0.3")
    assert (found["instrument"], found["kernel"]) == ("EUR_USD", "calibrated")
    assert found["param_key"] == "c0.3:l12:t2:ec60:xc60"
    assert found["params"]["c_min"] == 0.3
    assert found["spans"].keys() == {"14", "30", "60"}
    trades = found["trades"]
    assert len(trades) > 10
    for trade in trades:
        assert trade.keys() >= {"side", "entry_ms", "exit_ms", "entry", "exit", "ret", "reason"}
        side = {"long": 1, "short": -1}[trade["side"]]
        assert trade["reason"] in REASONS
        assert trade["entry_ms"] <= trade["exit_ms"]
        assert trade["ret"] == pytest.approx(side * math.log(trade["exit"] / trade["entry"]) - 2.2e-4, abs=1e-12)
    assert len({trade["reason"] for trade in trades}) > 1
    assert found["spans"]["60"]["trades"] == len(trades)
    assert found["spans"]["60"]["pnl_total"] == pytest.approx(sum(trade["ret"] for trade in trades))
    assert found["spans"]["14"]["trades"] < found["spans"]["30"]["trades"]


def test_parameters_change_the_key_and_the_run(report):
    plain = report()
    held = report("--param", "max_hold_min=7", "--param", "sl_bps=1", "--param", "tp_bps=2", "--param", "c_min=0.4")
    assert held["param_key"] == "c0.4:l12:t2:ec60:xc60:max_hold_min=7:sl_bps=1:tp_bps=2"
    assert plain["param_key"] == "c0.55:l12:t2:ec60:xc60"
    assert held["trades"] != plain["trades"]
    assert {"tp", "sl"} <= {trade["reason"] for trade in held["trades"]} <= REASONS


def test_the_native_family_is_another_run_with_another_key(report):
    found = report("--kernel", "native", "--param", "c_min=0.1")
    assert found["kernel"] == "native"
    assert "kernel=native" in found["param_key"]


def test_a_shorter_run_has_fewer_trades(report):
    assert (
        0
        < len(report("--days", "12", "--param", "c_min=0.3")["trades"])
        < len(report("--param", "c_min=0.3")["trades"])
    )


def test_people_get_a_table_that_says_where_the_history_is_too_short(cli, tmp_path, weeks):
    (tmp_path / "EUR_USD.csv").write_text(weeks)
    ended = cli("backtest", "EUR_USD", "--candles", "EUR_USD.csv")
    assert ended.code == 0
    assert ended.out.startswith("EUR_USD  c0.55:l12:t2:ec60:xc60  ")
    (short,) = [line for line in ended.out.splitlines() if line.startswith("│ 60 ")]
    assert "(too little)" in short


def test_stored_candles_give_the_report_of_the_file_with_the_same_ones(cli, report, tmp_path):
    settings = load({"HOTBAND_SOURCE": "simulated"}, None).settings

    candles = simulated("EUR_USD", 21)

    async def store(url):
        async with open_valkey(url, parts.ages(settings)) as opened:
            await opened.put_candles("EUR_USD", "M1", candles)

    with owner(tmp_path) as server:
        anyio.run(store, server.url)
        ended = cli("backtest", "EUR_USD", "--json", HOTBAND_SOURCE="simulated")
        missing = cli("backtest", "USD_JPY", HOTBAND_SOURCE="simulated")
    assert json.loads(ended.out) == report()
    assert (missing.code, sentences(missing)) == (1, "Valkey holds no usable candle of USD_JPY.")


def test_a_page_is_plotted_beside_the_report(cli, tmp_path, weeks):
    (tmp_path / "EUR_USD.csv").write_text(weeks)
    ended = cli("backtest", "EUR_USD", "--candles", "EUR_USD.csv", "--plot", "seen.html", "--param", "c_min=0.3")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("Plotted in seen.html.\n")
    page = (tmp_path / "seen.html").read_text()
    assert "EUR_USD, strict back-test" in page
    assert "c0.3:l12:t2:ec60:xc60" in page


@pytest.mark.parametrize(
    ("plot", "message"),
    [("seen.png", "name a file that ends in .html, not seen.png"), ("EUR_USD.csv/seen.html", "EUR_USD.csv")],
)
def test_a_page_that_cannot_be_written_is_refused(cli, tmp_path, weeks, plot, message):
    (tmp_path / "EUR_USD.csv").write_text(weeks)
    ended = cli("backtest", "EUR_USD", "--candles", "EUR_USD.csv", "--plot", plot)
    assert ended.code == 2
    assert message in sentences(ended)
    assert [path.name for path in tmp_path.iterdir() if path.suffix in {".png", ".html"}] == []
