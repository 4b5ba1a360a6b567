"""Names of instruments become keys, channels, paths and addresses: at every door, only checked ones pass."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.adapters import strategies
from hotbandd.core import live_params, trials
from hotbandd.errors import ParamsError, SettingsError, UsageError
from hotbandd.settings import instrument, load, parse_pairs
from tests.cli.conftest import Cli, cli, sentences  # noqa: F401  a fixture
from tests.fuzz.amount import examples
from tests.processes import Daemon

EVIL = [
    "../../etc/passwd",
    "EUR_USD/../../x",
    "EUR_USD\\..",
    "/etc/EUR_USD",
    ".",
    "..",
    "EUR:USD",
    "EUR_USD:M1",
    "*",
    "EUR_*",
    "?UR_USD",
    "[A-Z]_USD",
    "EUR_USD\n",
    "EUR_USD\r\nX: y",
    "EUR_USD\0",
    " EUR_USD",
    "EUR_USD{x}",
    "EUR_USD%00",
    "EUR%5FUSD",
    "eur_usd",
    "ＥＵＲ_ＵＳＤ",
    "ЕUR_USD",  # its first letter is Cyrillic
    "EUR＿USD",
    "EUR_USD\u200b",
    "EUR_USD\u0301",
    "E" * 13 + "_USD",
    "_USD",
    "EUR_",
    "EUR_USD_JPY",
    "",
    "$(id)",
    "EUR_USD;id",
    "-EUR_USD",
    "\ud800",
]
RULES = strategies.rules()


@pytest.mark.parametrize("name", EVIL)
def test_no_door_takes_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UsageError):
        instrument(name)
    for text in (f"EUR_USD,{name}", f"EUR_USD,{name}x"):
        if text.strip() != "EUR_USD, EUR_USD" and name.strip() != "EUR_USD":
            with pytest.raises(UsageError):
                parse_pairs(text)
            with pytest.raises(SettingsError):
                load({"HOTBAND_PAIRS": text}, None)
    with pytest.raises(SettingsError):
        load({"HYSTERESIS_PAIR_JSON": json.dumps({name: 0.1})}, None)
    with pytest.raises(ParamsError):
        live_params.parse({"instruments": {name: {"params": {"c_min": 0.6}}}}, RULES)
    with pytest.raises(ParamsError):
        trials.parse({"instruments": [{"instrument": name}]}, RULES)


@given(st.text(max_size=20))
@examples(short=500, full=100_000)
def test_what_passes_is_capital_letters_digits_and_one_underscore(text: str) -> None:
    with suppress(UsageError):
        name = instrument(text)
        assert name == text
        assert name.isascii()
        assert name.replace("_", "", 1).isalnum()
        assert name == name.upper()


COMMANDS = {
    "backtest": ("backtest", "--candles", "EUR_USD_M1.csv", "--", "{}"),
    "explain": ("explain", "--candles", ".", "--at", "2024-03-05", "--", "{}"),
    "calibrate": ("calibrate", "--candles", "EUR_USD_M1.csv", "--", "{}"),
    "manifold": ("manifold", "--input", "EUR_USD_M1.csv", "--instrument={}"),
    "warmup": ("warmup", "--pairs={}"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_a_name_that_is_none(cli: Cli, tmp_path: Path, command: str, full: bool) -> None:  # noqa: F811
    (tmp_path / "EUR_USD_M1.csv").write_text("time_ms,open,high,low,close,volume\n1709510400000,1,1,1,1,5\n")
    before = sorted(tmp_path.rglob("*"))
    for name in EVIL if full else EVIL[::6]:
        if not name.strip() or (command == "warmup" and name.strip() == "EUR_USD"):
            continue
        ended = cli(*(word.format(name) for word in COMMANDS[command]), HOTBAND_SOURCE="simulated")
        assert ended.code == 2
        assert sentences(ended)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_page_takes_a_name_that_is_none(daemon: Daemon) -> None:
    with httpx.Client(base_url=daemon.event("daemon.started")["http"]) as client:
        for name in EVIL:
            written = quote(name.encode("utf-8", "surrogatepass"), safe="")
            for path in (
                "/api/coherence/status?instrument={}",
                "/api/candles?instrument={}&count=5",
                "/api/instrument/{}/chart?hours=1",
            ):
                response = client.get(path.format(written))
                assert response.status_code in {400, 404}, (name, path, response.text)
                assert response.json()["error"]
