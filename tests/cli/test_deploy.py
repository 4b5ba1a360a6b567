"""``hotbandd deploy``: the chain from a cold Valkey to promoted winners with one command; a fault leaves the kill switch engaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from redis import Redis

from tests.cli.conftest import Cli, sentences
from tests.processes import Ended
from tests.valkey import owner

SETTINGS = {
    "HOTBAND_SOURCE": "simulated",
    "HOTBAND_PAIRS": "EUR_USD,USD_CAD",
    "CANDLE_COUNT": "43200",
    "MANIFOLD_RETENTION_DAYS": "2",
    "SESSION_TRADING_ENABLED": "0",
}
SPEC = """
window_days: 20
defaults: {c_min: [0.3, 0.6], dir_threshold_bps: [2.0, 5.0]}
instruments:
  - instrument: EUR_USD
  - instrument: USD_CAD
"""
STEPS = ["health", "engage", "warmup", "trials", "report", "promote", "apply", "reload", "release"]


@pytest.fixture
def redis(tmp_path: Path):
    """Run a Valkey in the home, with its kill switch released."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    with owner(tmp_path) as server, Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2) as client:
        client.set("ops:kill_switch", "0")
        yield client


def deployed(cli: Cli, **given: str) -> tuple[Ended, dict[str, str]]:
    ended = cli("deploy", "--spec", "spec.yaml", "--days", "25", "--min-trades", "1", "--json", **{**SETTINGS, **given})
    assert "Traceback" not in ended.err
    report = json.loads(ended.out)
    assert [step["name"] for step in report["steps"]] == STEPS
    return ended, {step["name"]: step["state"] for step in report["steps"]}


def test_one_command_leads_from_a_cold_valkey_to_promoted_winners(cli: Cli, redis: Redis, tmp_path: Path) -> None:
    ended, states = deployed(cli)
    assert ended.code == 0, ended.err
    assert states == {**dict.fromkeys(STEPS, "done"), "release": "skipped"}
    assert redis.zcard("md:candles:EUR_USD:M1") > 20_000
    assert redis.exists("ws:last:manifold:EUR_USD", "sep:signal_index:EUR_USD", "opt:backtests:report:latest") == 3
    assert redis.zcard("bt:trial:index") == 8
    report = (tmp_path / "output/reports/backtests/last_14d_report.md").read_text()
    assert "Trials of the last 14 days" in report
    live = (tmp_path / "config/live_params.yaml").read_text()
    for pair in ("EUR_USD", "USD_CAD"):
        assert (pair in live) == bool(redis.exists(f"opt:best_config:{pair}"))
    assert redis.get("ops:kill_switch") == b"1"
    again, _ = deployed(cli)
    assert again.code == 0
    assert redis.zcard("bt:trial:index") == 8


def test_each_part_can_be_left_out(cli: Cli, redis: Redis) -> None:
    parts = dict.fromkeys(("BACKFILL_ON_DEPLOY", "RUN_TRIALS_ON_DEPLOY", "APPLY_WINNERS_ON_DEPLOY"), "0")
    ended, states = deployed(cli, **parts)
    assert ended.code == 0
    assert [name for name, state in states.items() if state == "done"] == ["health", "engage"]
    assert not redis.exists("md:candles:EUR_USD:M1")


def test_a_step_that_fails_stops_the_rest_and_leaves_the_kill_switch_engaged(cli: Cli, redis: Redis) -> None:
    redis.set("bt:trial:lock", "somebody else")
    ended, states = deployed(cli, BACKFILL_ON_DEPLOY="1", DISENGAGE_KILL_ON_SUCCESS="1")
    assert ended.code == 4
    assert states["trials"] == "failed"
    assert {states[name] for name in ("report", "promote", "apply", "reload", "release")} == {"not reached"}
    assert "trials failed: Trials run already" in ended.err
    assert redis.get("ops:kill_switch") == b"1"


def test_the_kill_switch_is_not_released_while_a_check_is_red(cli: Cli, redis: Redis) -> None:
    """Nobody leads and nothing is published here: all steps succeed, and yet no weight may rise."""
    ended, states = deployed(cli, RUN_TRIALS_ON_DEPLOY="0", APPLY_WINNERS_ON_DEPLOY="0", DISENGAGE_KILL_ON_SUCCESS="1")
    assert ended.code == 4
    assert states["release"] == "failed"
    assert "nobody leads" in ended.err
    assert redis.get("ops:kill_switch") == b"1"


def test_a_spec_that_cannot_be_used_stops_before_anything_is_touched(cli: Cli, redis: Redis, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("instruments: [{instrument: EUR_USD, overrides: {c_mim: 0.5}}]")
    ended = cli("deploy", "--spec", "spec.yaml", **SETTINGS)
    assert ended.code == 2
    assert "did you mean c_min" in sentences(ended)
    assert redis.get("ops:kill_switch") == b"0"


def test_a_source_that_needs_a_token_says_so(cli: Cli, redis: Redis) -> None:
    ended = cli("deploy", "--spec", "spec.yaml", HOTBAND_SOURCE="oanda")
    assert ended.code == 2
    assert "OANDA_API_KEY" in sentences(ended)
    assert redis.get("ops:kill_switch") == b"0"
