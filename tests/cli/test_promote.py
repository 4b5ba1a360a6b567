"""``hotbandd promote`` and ``apply``."""

from __future__ import annotations

import json

import msgspec
import pytest
from redis import Redis

from hotbandd.core.documents import Params, encode
from hotbandd.core.param_key import param_key
from hotbandd.core.trial_documents import GLOBAL, BestConfig
from tests.adapters import store_samples as samples
from tests.cli.conftest import sentences
from tests.valkey import owner

PAIR = samples.PAIR
PARAMS = Params(c_min=0.6, direction_lookback=24, dir_threshold_bps=2.5)
ENV = (
    b"\xef\xbb\xbf# \xc3\xa4ltere Werte\r\n\r\n  export AUTO_MIN_COHERENCE='0.5' # low\r\n"
    b"AUTO_DIRECTION_LOOKBACK=3\nAUTO_DIRECTION_LOOKBACK = 12\t\n#AUTO_DIR_THRESHOLD_BPS=1\nOANDA_API_KEY=secret-token"
)


def winner(instrument):
    return BestConfig(
        instrument=instrument, param_key=param_key(PARAMS), params=PARAMS, env={}, summary=samples.SPAN, ts=1
    )


@pytest.fixture
def redis(tmp_path):
    """A server with a winner of one instrument, and of all."""
    with owner(tmp_path) as server, Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2) as client:
        for name in (PAIR, GLOBAL):
            client.set(f"opt:best_config:{name}", encode(winner(name)))
        yield client


@pytest.fixture
def file(tmp_path):
    return tmp_path / "config" / "live_params.yaml"


@pytest.fixture
def env(tmp_path):
    path = tmp_path / ".env.hotband"
    path.write_bytes(ENV)
    return path


@pytest.fixture
def applicable(file):
    file.parent.mkdir()
    file.write_text("global:\n  params: {c_min: 0.6, direction_lookback: 24, dir_threshold_bps: 2.5}\n")
    return file


def test_a_promotion_says_what_became_of_each_and_a_second_one_that_nothing_changed(cli, redis, file):
    ended = cli("promote")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [f"{PAIR}  promoted", f"{GLOBAL}   promoted", f"Written: {file}."]
    assert cli("promote").out.splitlines()[1:] == [
        f"{GLOBAL}   as it was",
        "config/live_params.yaml stays as it is.",
    ]


def test_a_dry_run_shows_the_difference_and_changes_nothing(cli, redis, file):
    ended = cli("promote", "--dry-run")
    assert ended.code == 0, ended.err
    assert f"+  {PAIR}:\n+    params:\n+      c_min: 0.6\n" in ended.out
    assert not file.parent.exists()
    found = json.loads(cli("promote", "--dry-run", "--json").out)
    assert (found["dry_run"], found["changes"], found["files"]) == (True, True, [])
    assert not file.parent.exists()
    cli("promote")
    assert "stays as it is" in cli("promote", "--dry-run").out


def test_a_program_gets_what_was_promoted_refused_and_written(cli, redis, file):
    found = json.loads(cli("promote", "--json").out)
    assert found["instruments"] == {PAIR: "promoted", GLOBAL: "promoted"}
    assert (found["refused"], found["files"]) == ({}, [str(file)])
    redis.set(f"opt:best_config:{PAIR}", encode(msgspec.structs.replace(winner(PAIR), luck=None)))
    ended = cli("promote", "--json", PROMOTE_MIN_DSR="0.9")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["instruments"] == {PAIR: "gone", GLOBAL: "gone"}
    assert "PROMOTE_MIN_DSR" in found["refused"][PAIR]
    assert found["files"] == [f"{file}.bak", str(file)]


def test_a_refused_winner_is_told_beside_the_output_and_is_no_failure(cli, redis, file):
    ended = cli("promote", PROMOTE_MAX_PBO="0.5")
    assert ended.code == 0
    assert ended.err.splitlines()[0].startswith(
        f"hotbandd: {PAIR} is not promoted: its probability of over-fitting is not known"
    )
    assert ended.out.splitlines() == ["There is no winner to promote.", f"Written: {file}."]
    assert file.read_text() == "instruments: {}\n"


def test_applying_leaves_every_other_byte(cli, applicable, env):
    ended = cli("apply")
    assert (ended.code, ended.err) == (
        0,
        "hotbandd: AUTO_DIRECTION_LOOKBACK stands in lines 4 and 5 of the settings file; the last one counts.\n",
    )
    expected = ENV.replace(b"'0.5'", b"0.6").replace(b"= 12", b"= 24")
    assert env.read_bytes() == expected + b"\nGUARD_MIN_COHERENCE=0.6\nAUTO_DIR_THRESHOLD_BPS=2.5\n"
    assert "AUTO_MIN_COHERENCE  0.5 → 0.6" in ended.out
    assert "AUTO_DIR_THRESHOLD_BPS  unset → 2.5" in ended.out
    assert "secret-token" not in ended.out
    shown = json.loads(cli("check-config", "--json", HOTBAND_SOURCE="simulated").out)["settings"]
    assert {row["name"]: row["value"] for row in shown if row["from"] == "file"}["AUTO_MIN_COHERENCE"] == "0.6"
    assert "stays as it is" in cli("apply").out


def test_a_dry_run_of_applying_changes_nothing(cli, applicable, env):
    ended = cli("apply", "--dry-run")
    assert ended.code == 0
    assert "GUARD_MIN_COHERENCE  unset → 0.6" in ended.out
    assert "Written" not in ended.out
    found = json.loads(cli("apply", "--dry-run", "--json").out)
    assert found["changes"]["AUTO_MIN_COHERENCE"] == {"before": "0.5", "after": "0.6"}
    assert found["files"] == []
    assert env.read_bytes() == ENV


def test_applying_to_a_named_file_or_through_a_link_edits_the_file_itself(cli, applicable, env, tmp_path):
    real = tmp_path / "etc" / "settings"
    real.parent.mkdir()
    real.write_text("LOG_LEVEL=debug\n")
    env.unlink()
    env.symlink_to(real)
    found = json.loads(cli("apply", "--json").out)
    assert found["files"] == [str(real)]
    assert env.is_symlink()
    assert real.read_text().startswith("LOG_LEVEL=debug\nGUARD_MIN_COHERENCE=0.6\n")
    (tmp_path / "other.env").write_text("")
    assert cli("apply", "--env-file", "other.env").code == 0
    assert "AUTO_MIN_COHERENCE=0.6" in (tmp_path / "other.env").read_text()


def test_without_a_file_or_a_global_nothing_is_applied(cli, file, env):
    ended = cli("apply")
    assert ended.code == 2
    assert sentences(ended).endswith("There is no config/live_params.yaml to apply; run hotbandd promote first.")
    file.parent.mkdir()
    file.write_text("instruments: {}\n")
    ended = cli("apply")
    assert ended.code == 0
    assert "config/live_params.yaml has no global parameters" in ended.out
    assert env.read_bytes() == ENV
