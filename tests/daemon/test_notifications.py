"""The whole daemon tells a real receiver what changes, and is held up by none."""

from __future__ import annotations

import signal

from tests.processes import hotbandd, running
from tests.receiver import receiver

SETTINGS = {
    "HOTBAND_SOURCE": "simulated",
    "CANDLE_HOT_DAYS": "2",
    "HOTBAND_PAIRS": "EUR_USD,USD_JPY",
    "HOTBAND_NOTIFY_EVERY_SEC": "1",
    "HOTBAND_NOTIFY_ON": "kill_switch,leader",
    "LOG_LEVEL": "debug",
}


def test_a_change_reaches_the_receiver_and_its_address_nobody_else(tmp_path):
    with receiver() as told, running(tmp_path, HOTBAND_NOTIFY_URLS=told.url, **SETTINGS) as daemon:
        daemon.ready()
        told.mood = "500"
        assert hotbandd(tmp_path, "kill", "release").code == 0
        daemon.event("notifier.failed")
        told.mood = "well"
        assert hotbandd(tmp_path, "kill", "engage").code == 0
        daemon.event("notifier.recovered")
        engaged = "The kill switch is engaged: no weight rises."
        daemon.until(lambda: any(engaged in body for body in told.bodies), "the message")
        _, status = daemon.get("/status")
        assert status["settings"]["HOTBAND_NOTIFY_URLS"] == "***"
        assert "s3cret" not in daemon.stderr
        assert daemon.end(signal.SIGTERM) < 5


def test_a_receiver_that_hangs_holds_up_neither_the_loops_nor_the_end(tmp_path):
    with receiver() as told, running(tmp_path, HOTBAND_NOTIFY_URLS=told.url, **SETTINGS) as daemon:
        told.mood = "slow"
        daemon.ready()
        assert hotbandd(tmp_path, "kill", "release").code == 0
        daemon.until(lambda: told.requests, "a message")
        assert daemon.get("/healthz")[0] == 200
        assert daemon.end(signal.SIGTERM) < 5
    assert daemon.process.returncode == 0


def test_a_receiver_that_is_none_stops_the_start_without_being_shown(tmp_path):
    ended = hotbandd(tmp_path, "run", **{**SETTINGS, "HOTBAND_NOTIFY_URLS": "carrierpigeon://s3cret-t0ken/"})
    assert ended.code == 2
    assert "HOTBAND_NOTIFY_URLS: apprise does not know what receiver 1 is" in ended.err
    assert "s3cret" not in ended.err
    assert "Traceback" not in ended.err
