"""``hotbandd explain``: one screen about one gate."""

from __future__ import annotations

import json

import anyio
import msgspec
import pytest
from redis import Redis

from hotbandd import parts
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core.candles import DAY_MS
from hotbandd.core.documents import encode
from hotbandd.settings import load
from tests.adapters import store_samples as samples
from tests.cli.candles import simulated, written
from tests.cli.conftest import sentences
from tests.valkey import owner

PAIR = samples.PAIR


@pytest.fixture
def published(tmp_path):
    """Publish an evaluation of one instrument."""
    with owner(tmp_path) as server:
        summary = msgspec.structs.replace(samples.summary(), summary={"14": samples.SPAN, "30": samples.SPAN})
        with Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2) as redis:
            redis.set("opt:rolling:gates_blob", encode(samples.blob()))
            redis.set(f"bt:rolling:summary:{PAIR}", encode(summary))
            redis.set(f"ws:last:manifold:{PAIR}", encode(samples.manifold()))
            redis.set("risk:allocation_weights", encode(samples.weights()))
        yield server.url.removeprefix("unix://")


def test_a_person_sees_gate_floors_and_guards_on_one_screen(cli, published):
    ended = cli("explain", PAIR)
    assert ended.code == 0, ended.err
    for part in (PAIR, "gate", "session", "cooldown", "trades, 30 days", "passes from", "coherence", "≥ 0.55", "→"):
        assert part in ended.out
    assert len(ended.out.splitlines()) <= 40


def test_a_program_gets_the_same_as_json(cli, published):
    found = json.loads(cli("explain", PAIR, "--json").out)
    assert found["instrument"] == PAIR
    assert found["figures"][0]["name"] == "trades, 30 days"
    assert found["guards"][0]["met"] is True
    assert found["flip"]


@pytest.mark.parametrize("value", [b'{"schema":2,"ts":1}', b"garbage", b""])
def test_a_summary_of_another_schema_is_one_sentence_that_names_its_key(cli, published, value):
    with Redis(unix_socket_path=published, protocol=2) as redis:
        redis.set(f"bt:rolling:summary:{PAIR}", value)
    ended = cli("explain", PAIR)
    assert ended.code == 1
    assert sentences(ended).startswith(f"The value at bt:rolling:summary:{PAIR} is not what hotband writes there")


def test_an_instrument_that_nothing_is_published_about_is_unhealthy(cli, published):
    ended = cli("explain", "AUD_NZD")
    assert ended.code == 4
    assert sentences(ended).startswith("Nothing is published about AUD_NZD")


def test_a_name_that_is_none_and_a_server_that_is_not_there(cli):
    assert cli("explain", "eurusd").code == 2
    assert cli("explain", PAIR).code == 3


# ---- at another time --------------------------------------------------------------------------------------------------

DAYS = 38
LIVELY = {"AUTO_MIN_COHERENCE": "0.2", "AUTO_GUARD_ENFORCE": "0", "EVAL_INTERVAL_SEC": "3600"}
AT = "2024-04-10T13:07"


@pytest.fixture(scope="module")
def market():
    return simulated(PAIR, DAYS)


@pytest.fixture
def folder(tmp_path, market):
    (tmp_path / "candles").mkdir()
    (tmp_path / "candles" / f"{PAIR}_M1.csv").write_text(written(market))
    return str(tmp_path / "candles")


def test_a_past_moment_is_explained_from_a_folder_as_the_replay_published_it(cli, folder):
    found = json.loads(cli("explain", PAIR, "--at", AT, "--candles", folder, "--json", **LIVELY).out)
    lines = cli(
        "replay", "--candles", folder, "--from", "2024-03-10T13:00", "--to", "2024-04-10T13:08", "--json", **LIVELY
    ).out
    blob = [json.loads(line) for line in lines.splitlines() if '"gates"' in line][-1]
    assert blob["ts"] == found["evaluated_ts"]
    assert found["gate"] == blob["gates"][PAIR]
    assert [told["code"] for told in found["reasons"]] == blob["reasons"][PAIR]
    assert {guard["name"]: guard["met"] for guard in found["guards"]}.keys() == blob["guards"][PAIR].keys()
    assert found["manifold_ts"] == found["now"]
    assert found["weight"] is None
    assert found["replayed_from"] < found["now"] - 30 * DAY_MS


def test_no_later_candle_changes_an_explanation(cli, folder, market, tmp_path):
    whole = cli("explain", PAIR, "--at", AT, "--candles", folder, "--json", **LIVELY).out
    (tmp_path / "cut").mkdir()
    moment = json.loads(whole)["now"]
    (tmp_path / "cut" / f"{PAIR}_M1.csv").write_text(written(market.closed_by(moment)))
    assert cli("explain", PAIR, "--candles", str(tmp_path / "cut"), "--json", **LIVELY).out == whole


def test_a_past_moment_is_explained_from_valkey_alike(cli, folder, market, tmp_path):
    settings = load({"HOTBAND_SOURCE": "simulated"}, None).settings

    async def store(url):
        async with open_valkey(url, parts.ages(settings)) as opened:
            await opened.put_candles(PAIR, "M1", market)

    with owner(tmp_path) as server:
        anyio.run(store, server.url)
        stored = json.loads(cli("explain", PAIR, "--at", AT, "--json", HOTBAND_SOURCE="simulated", **LIVELY).out)
    read = json.loads(cli("explain", PAIR, "--at", AT, "--candles", folder, "--json", **LIVELY).out)
    assert stored == read


def test_a_person_sees_a_past_moment_on_one_screen(cli, folder):
    ended = cli("explain", PAIR, "--at", AT, "--candles", folder, **LIVELY)
    assert (ended.code, ended.err) == (0, "")
    assert f"at {AT.replace('T', ' ')} UTC" in ended.out
    assert "alone, from 2024-03-10 13:00 UTC on" in ended.out
    assert len(ended.out.splitlines()) <= 40


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--at", "noon"),
            "--at must be a day such as 2018-03-05, or a time such as 2018-03-05T12:30 (UTC), not 'noon'.",
        ),
        (("--at", "2018-03-05"), "The candles reach from 2024-03-04 00:00 to 2024-04-11 00:00; choose a time within."),
    ],
)
def test_a_time_that_is_none_or_that_no_candle_reaches_is_refused(cli, folder, words, message):
    ended = cli("explain", PAIR, *words, "--candles", folder)
    assert ended.code == 2
    assert sentences(ended) == message


def test_an_instrument_without_a_file_is_refused(cli, folder):
    ended = cli("explain", "USD_JPY", "--candles", folder)
    assert ended.code == 2
    assert sentences(ended).startswith("There are no candles of USD_JPY in ")


def test_valkey_without_candles_of_that_time_says_so(cli, published):
    ended = cli("explain", "EUR_JPY", "--at", AT, HOTBAND_SOURCE="simulated")
    assert ended.code == 1
    assert sentences(ended) == "There is no usable candle of EUR_JPY."
