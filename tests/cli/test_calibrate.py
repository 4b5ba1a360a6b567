"""``hotbandd calibrate``: an operator sees what a bound means on a feed."""

from __future__ import annotations

import json

import pytest

from tests.cli.candles import simulated, written
from tests.cli.conftest import sentences
from tests.valkey import owner


@pytest.fixture(scope="module")
def days() -> str:
    return written(simulated("EUR_USD", 3))


def test_a_bound_that_is_never_met_is_told(cli, tmp_path, days):
    (tmp_path / "EUR_USD.csv").write_text(days)
    ended = cli("calibrate", "--candles", "EUR_USD.csv", HOTBAND_KERNEL="native")
    assert ended.code == 0, ended.err
    assert "entropy ≤ 0.7" in ended.out
    assert "never met on this feed" in ended.out
    assert "all bounds met by 0.0%" in ended.out


def test_a_folder_gives_each_instrument_for_programs(cli, tmp_path, days):
    for pair in ("EUR_USD", "GBP_USD"):
        (tmp_path / f"{pair}_M1.csv").write_text(days)
    found = json.loads(cli("calibrate", "--candles", ".", "--json", AUTO_MAX_RUPTURE="0.3").out)
    assert [one["instrument"] for one in found] == ["EUR_USD", "GBP_USD"]
    bounds = {bound["metric"]: bound for bound in found[0]["bounds"]}
    assert bounds["rupture"]["spec"] == 0.3
    assert bounds["rupture"]["percentile"] == pytest.approx(100 * bounds["rupture"]["passes"], abs=0.1)
    assert found[0]["quantiles"]["coherence"].keys() >= {"p1", "p50", "p99"}
    only = json.loads(cli("calibrate", "GBP_USD", "--candles", ".", "--json").out)
    assert [one["instrument"] for one in only] == ["GBP_USD"]


def test_stored_candles_of_some_days_are_described(cli, tmp_path):
    with owner(tmp_path):
        warmed = cli("warmup", "--days", "3", "--pairs", "EUR_USD", HOTBAND_SOURCE="simulated")
        assert warmed.code == 0, warmed.err
        ended = cli("calibrate", "EUR_USD", "--days", "3", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)[0]["windows"] > 100


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["calibrate"], 2, "Say what to look at"),
        (["calibrate", "--candles", "nowhere.csv"], 1, "cannot be read"),
        (["calibrate", "GBP_USD", "--candles", "."], 2, "no candles of GBP_USD"),
        (["calibrate", "eurusd", "--candles", "."], 2, "eurusd"),
        (["calibrate", "--days", "3"], 3, "No Valkey runs"),
        (["calibrate", "EUR_USD", "--candles", "few.csv"], 4, "a window needs 129"),
    ],
)
def test_what_cannot_be_described_is_told_in_one_sentence(cli, tmp_path, days, words, code, said):
    (tmp_path / "EUR_USD.csv").write_text(days)
    (tmp_path / "few.csv").write_text("\n".join(days.splitlines()[:100]))
    ended = cli(*words)
    assert ended.code == code
    assert said in sentences(ended)
