"""Wrong settings: one message, every fault in it, the right name beside each."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import sentences

SIMULATED = {"HOTBAND_SOURCE": "simulated"}


def test_a_misspelt_setting_in_the_environment_is_named_with_the_nearest_one(cli):
    ended = cli("check-config", HOTBAND_PARS="EUR_USD", **SIMULATED)
    assert ended.code == 2
    assert sentences(ended) == "HOTBAND_PARS (in the environment) is no setting; did you mean HOTBAND_PAIRS?"


def test_a_misspelt_setting_in_the_file_is_named_with_its_line(cli, tmp_path):
    (tmp_path / ".env.hotband").write_text("# ours\nHOTBAND_SOURCE=simulated\nEVAL_MIN_TRADE=3\n")
    ended = cli("check-config")
    assert ended.code == 2
    assert (
        sentences(ended)
        == "EVAL_MIN_TRADE (in line 3 of the settings file) is no setting; did you mean EVAL_MIN_TRADES?"
    )


def test_several_faults_come_in_one_message(cli, tmp_path):
    (tmp_path / "mine.env").write_text("ALLOC_TOPK=3\nREQ_CONSEC=0\n")
    ended = cli(
        "check-config", "--env-file", "mine.env", HOTBAND_SOURCE="simulatd", LOG_LEVEL="loud", HOTBAND_KERNL="x"
    )
    assert ended.code == 2
    told = sentences(ended)
    for name in ("ALLOC_TOPK", "ALLOC_TOP_K", "REQ_CONSEC", "HOTBAND_SOURCE", "LOG_LEVEL", "HOTBAND_KERNEL"):
        assert name in told


@pytest.mark.parametrize(
    ("pairs", "culprit"),
    [
        ("EURUSD", "'EURUSD'"),
        ("EUR_USD,,USD_JPY", "''"),
        ("EUR_USD,EUR_USD", "EUR_USD"),
        ("eur_usd/..", "'eur_usd/..'"),
    ],
)
def test_a_malformed_list_of_pairs_names_the_culprit(cli, pairs, culprit):
    ended = cli("check-config", HOTBAND_PAIRS=pairs, **SIMULATED)
    assert ended.code == 2
    assert "HOTBAND_PAIRS" in sentences(ended)
    assert culprit in ended.err


def test_a_currency_without_a_session_is_named(cli):
    ended = cli("check-config", HOTBAND_PAIRS="XAU_USD", **SIMULATED)
    assert ended.code == 2
    assert "XAU" in sentences(ended)
    assert "SESSION_WINDOWS_JSON" in ended.err


@pytest.mark.parametrize("place", ["gone.env", "."])
def test_a_settings_file_that_cannot_be_read_is_named(cli, place):
    ended = cli("check-config", "--env-file", place, **SIMULATED)
    assert ended.code == 2
    assert sentences(ended).startswith(f"{place} cannot be read")


def test_the_daemon_does_not_start_without_a_token(cli):
    ended = cli("run")
    assert ended.code == 2
    assert "OANDA_API_KEY" in sentences(ended)


def test_good_settings_are_shown_with_where_they_come_from_and_without_secrets(cli, tmp_path):
    (tmp_path / ".env.hotband").write_text("EVAL_MIN_TRADES=5  # fewer\n")
    ended = cli("check-config", "--json", OANDA_API_KEY="secret-token-123")
    shown = {row["name"]: row for row in json.loads(ended.out)["settings"]}
    assert ended.code == 0
    assert shown["EVAL_MIN_TRADES"] == {"name": "EVAL_MIN_TRADES", "value": "5", "from": "file"}
    assert shown["OANDA_API_KEY"]["from"] == "environment"
    assert "secret-token-123" not in ended.out + ended.err


def test_the_kill_switch_does_not_need_a_token_for_candles(cli):
    assert cli("kill", "status").code == 3


def test_live_parameters_are_checked_with_the_settings(cli, tmp_path):
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "live_params.yaml"
    file.write_text("instruments:\n  EUR_USD:\n    params: {c_mim: 0.6}\n")
    ended = cli("check-config", **SIMULATED)
    assert ended.code == 2
    assert sentences(ended).startswith(
        f"{file}, line 3: instruments.EUR_USD.params.c_mim is no parameter; there are c_min, "
    )
    file.write_text("instruments:\n  EUR_USD:\n    params: {c_min: 0.6}\n")
    assert cli("check-config", **SIMULATED).code == 0
