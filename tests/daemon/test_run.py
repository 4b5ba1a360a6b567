"""``hotbandd run`` as a process: from its start to its end, and what its operator can do in between."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Daemon, command_line, gone, hotbandd, running

PAIRS = {"HOTBAND_PAIRS": "EUR_USD,USD_JPY,AUD_USD"}
SHORT = {"HOTBAND_SOURCE": "simulated", "CANDLE_HOT_DAYS": "4", **PAIRS}
LONG = {**SHORT, "CANDLE_HOT_DAYS": "35"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def ready(home: Path) -> Iterator[Daemon]:
    """Run one daemon for the tests that leave it as it is."""
    with running(home, **SHORT) as daemon:
        daemon.ready()
        daemon.event("evaluator.published")
        daemon.event("allocator.published")
        yield daemon


def test_it_becomes_ready_and_leads_and_publishes(ready):
    assert ready.get("/healthz")[0] == 200
    _, status = ready.get("/status")
    assert status["leading"]
    assert set(status["instruments"]) == set(PAIRS["HOTBAND_PAIRS"].split(","))
    assert all(each["candles"] > 2000 for each in status["instruments"].values())
    assert ready.get("/api/rolling/gates")[0] == 200
    _, allocation = ready.get("/api/risk/allocation-status")
    assert allocation["weights"]["weights"] == {}


def test_the_kill_switch_is_engaged_on_an_empty_server_until_it_is_released(ready, home):
    assert ready.event("kill_switch.engaged")["release"] == "hotbandd kill release"
    assert hotbandd(home, "kill", "status").out == "engaged\n"
    assert "released" in hotbandd(home, "kill", "release").out
    assert json.loads(hotbandd(home, "kill", "status", "--json").out) == {"kill_switch": False}
    assert ready.get("/api/kill-switch") == (200, {"kill_switch": False})
    assert hotbandd(home, "kill", "engage").code == 0
    assert ready.get("/api/kill-switch") == (200, {"kill_switch": True})


def test_status_tells_the_same_to_programs_and_people(ready, home):
    ended = hotbandd(home, "status", "--json", **PAIRS)
    shown = json.loads(ended.out)
    assert ended.code == (0 if shown["healthy"] else 4), shown["faults"]
    assert shown["leader"]["epoch"] == ready.event("leader.leading")["epoch"]
    assert shown["blob"]["gates"].keys() == set(PAIRS["HOTBAND_PAIRS"].split(","))
    people = hotbandd(home, "status", **PAIRS)
    assert people.code == ended.code
    assert "kill switch" in people.out
    assert "too little history" in people.out


def test_a_second_daemon_in_the_same_home_is_refused_and_the_first_goes_on(ready, home):
    ended = hotbandd(home, "run", **SHORT)
    assert ended.code == 2
    assert f"A daemon runs in {home} already" in ended.err
    assert "Traceback" not in ended.err
    assert ready.get("/healthz")[0] == 200


def test_reload_takes_over_what_can_change_and_names_what_cannot(ready, home):
    file = home / ".env.hotband"
    file.write_text("EVAL_MIN_TRADES=3\nCANDLE_HOT_DAYS=9\n")
    assert hotbandd(home, "reload", "--env-file", str(file), HOTBAND_SOURCE="simulated").code == 0
    assert ready.event("daemon.reloaded")["need_restart"] == []  # its own environment says the same as before
    file.write_text("EVAL_MIN_TRADES=three\n")
    refused = hotbandd(home, "reload", **SHORT)
    assert refused.code == 2
    assert "EVAL_MIN_TRADES (in line 1 of the settings file)" in refused.err
    ready.process.send_signal(signal.SIGHUP)
    assert "EVAL_MIN_TRADES" in ready.event("daemon.reload_refused")["error"]
    file.write_text("REQ_CONSEC=3\nHOTBAND_WORKERS=7\n")
    ready.process.send_signal(signal.SIGHUP)
    assert ready.event("daemon.reloaded", 2)["need_restart"] == ["HOTBAND_WORKERS"]
    file.unlink()
    assert ready.get("/healthz")[0] == 200


def test_what_the_settings_file_sets_shows_in_the_next_evaluation(tmp_path):
    file = tmp_path / ".env.hotband"
    settings = {**SHORT, "EVAL_INTERVAL_SEC": "2", "DECISION_LAG_SEC": "0"}
    with running(tmp_path, **settings) as daemon:
        daemon.ready()
        assert _floors(daemon, tmp_path) == {8.0}
        file.write_text("EVAL_MIN_TRADES=3\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.event("daemon.reloaded")
        daemon.until(lambda: _floors(daemon, tmp_path) == {3.0}, "the new floor")


def _floors(daemon: Daemon, home: Path) -> set[float]:
    shown = json.loads(hotbandd(home, "status", "--json", **PAIRS).out)
    return {summary["gates"]["min_trades"] for summary in shown["summaries"].values() if summary}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("moment", "settings"),
    [("leader.leading", LONG), ("intake.restored", LONG), ("hydrator.loaded", LONG), ("allocator.published", SHORT)],
)
def test_a_signal_ends_it_at_once_and_well(tmp_path, number, moment, settings):
    with running(tmp_path, **settings) as daemon:
        daemon.event(moment)
        family = daemon.family()
        seconds = daemon.end(number)
    assert daemon.process.returncode == 0, daemon.stderr
    assert seconds < 5
    assert "Traceback" not in daemon.stderr
    assert daemon.events("daemon.stopping")[0]["signal"] == number.name
    assert not [event for event in daemon.events() if event["level"] in {"error", "critical"}]
    gone(family)


def test_a_restart_finds_candles_gates_and_the_kill_switch_and_leads_at_once(tmp_path):
    with running(tmp_path, **SHORT, log="first.log") as first:
        first.ready()
        first.event("allocator.published")
        _, before = first.get("/api/rolling/gates")
        assert hotbandd(tmp_path, "kill", "release").code == 0
        first.end(signal.SIGTERM)
    loaded = first.event("hydrator.loaded")["candles"]
    with running(tmp_path, **SHORT, log="second.log") as second:
        second.ready()
        restored = {event["instrument"]: event for event in second.events("intake.restored")}
        _, after = second.get("/api/rolling/gates")
    # The simulated feed falls silent now and then, once a day at most: what it never had is asked for again.
    assert all(restored[pair]["missing"] <= int(SHORT["CANDLE_HOT_DAYS"]) for pair in loaded)
    assert all(restored[pair]["candles"] >= loaded[pair] - 10 for pair in loaded)
    assert not second.events("kill_switch.engaged")
    assert after["gates"] == before["gates"]
    assert after["ts"] >= before["ts"]
    assert second.event("leader.leading")["epoch"] > first.event("leader.leading")["epoch"]


def test_a_killed_server_is_started_again_and_the_daemon_outlives_it(tmp_path):
    with running(tmp_path, **SHORT, LEASE_TTL_SEC="1") as daemon:
        daemon.ready()
        (server,) = [pid for pid in daemon.family() if "valkey-server" in command_line(pid)]
        os.kill(server, signal.SIGKILL)
        daemon.event("valkey.restarted")
        daemon.ready()
        daemon.until(lambda: hotbandd(tmp_path, "kill", "status").out == "engaged\n", "the kill switch as it was")
        assert daemon.get("/healthz")[0] == 200
        assert daemon.end(signal.SIGTERM) < 5
    assert daemon.process.returncode == 0
    assert not daemon.events("loop.failed")


def test_an_address_that_is_taken_ends_it_with_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = hotbandd(tmp_path, "run", HOTBAND_HTTP=address, LOG_LEVEL="error", **SHORT)
    assert ended.code == 2
    assert f"HOTBAND_HTTP: {address} cannot be listened on" in ended.err
    assert "Traceback" not in ended.err


def test_a_source_that_cannot_be_reached_is_a_clear_line_and_never_shows_the_token(tmp_path):
    settings = {"HOTBAND_SOURCE": "oanda", "OANDA_API_KEY": "secret-token-123", "HOTBAND_PAIRS": "EUR_USD"}
    with running(tmp_path, LOG_LEVEL="debug", **settings) as daemon:
        told = daemon.event("intake.skipped")
        assert told["error"].startswith("OANDA ")
        assert daemon.get("/healthz")[0] == 200
        assert daemon.get("/readyz")[0] == 503
        _, status = daemon.get("/status")
        assert daemon.end(signal.SIGTERM) < 5
    assert daemon.process.returncode == 0
    assert "secret-token-123" not in daemon.stderr + json.dumps(status)
    assert "Traceback" not in daemon.stderr
