"""A process that hangs is killed and started anew; one that works is left alone, and says what it does."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator

import pytest
import redis

from tests.faults import hooked
from tests.faults.manager import INTERVAL_SEC, WATCHDOG_SEC, Manager, events, service
from tests.valkey import Guarded, guarded

RECOVERY_SEC = WATCHDOG_SEC + 5.0
GRACE_SEC, STEP_SEC = 1.0, 1.0
OUTAGE_WATCHDOG_SEC = 6.0
PATIENCE_SEC = 40.0  # of the few runs of the suite, on a machine that is busy


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory, valkey: Guarded, pytestconfig) -> Iterator[Manager]:
    """Run one service for all tests; each of them leaves one that is well."""
    with redis.Redis.from_url(valkey.admin_url) as client:
        client.flushall()
    quick = {} if pytestconfig.getoption("--full") else {"pause": 0.02}
    hooks = {"grace": GRACE_SEC, "deadline": STEP_SEC, **quick}
    with service(tmp_path_factory.mktemp("service"), valkey.url, **hooks).managing() as manager:
        manager.ready()
        yield manager


def steady(manager: Manager) -> None:
    """Wait until the history is loaded, so that no step lasts."""
    manager.until(lambda: "gates open" in manager.status(), "the gates in STATUS")


def loaded(manager: Manager) -> None:
    """Wait until the process that runs now has loaded the history: other loops wait for that."""

    def told() -> bool:
        started, whole = events(manager.log, "daemon.started"), events(manager.log, "hydrator.loaded")
        return bool(whole) and whole[-1]["timestamp"] > started[-1]["timestamp"]

    manager.until(told, "a loaded history")


def test_it_tells_what_it_does(manager):
    ready = manager.ready()
    steady(manager)
    manager.until(lambda: "weights held: too few open gates" in manager.status(), "the hold in STATUS")
    assert manager.status().startswith("leads with epoch ")
    assert "0 of 1 gates open, newest candle " in manager.status()
    manager.until(lambda: len(manager.times("WATCHDOG", since=ready)) >= 3, "signs of life")
    assert len(manager.times("READY")) == 1


def test_a_reload_is_told_and_so_is_its_refusal(manager):
    file = manager.home / ".env.hotband"
    file.write_text("ALLOC_TOP_K=none\n")
    before = time.monotonic()
    os.kill(manager.process.pid, signal.SIGHUP)
    manager.ready(since=before)
    (reloading,) = [lines for _, lines in manager.said if "RELOADING" in lines]
    assert int(reloading["MONOTONIC_USEC"]) / 1e6 == pytest.approx(manager.times("RELOADING")[0], abs=10)
    (refused,) = [lines for _, lines in manager.said if "refused" in lines.get("STATUS", "")]
    assert refused["READY"] == "1"
    assert "ALLOC_TOP_K" in refused["STATUS"]
    file.unlink()


def test_an_event_loop_that_was_late_says_so_and_lives(manager):
    before = len(events(manager.log, "loop.lag"))
    os.kill(manager.process.pid, hooked.STALL)
    manager.until(lambda: len(events(manager.log, "loop.lag")) > before, "loop.lag")
    with urllib.request.urlopen(events(manager.log, "daemon.started")[-1]["http"] + "/healthz", timeout=10) as answer:
        told = json.load(answer)
    assert told["healthy"]
    assert 0.7 < told["event_loop_lag_seconds"] < 5
    assert not manager.kills


def test_a_blocked_event_loop_is_restarted(manager, runs):
    manager.ready()
    promise = f"restarted ≤ WatchdogSec ({WATCHDOG_SEC:g} s) + 5 s"
    for _, random in runs.of("the event loop blocked for an hour", promise, short=1, full=100):
        steady(manager)
        time.sleep(random.uniform(0, 1))  # anywhere in its cycles
        before = time.monotonic()
        os.kill(manager.process.pid, hooked.BLOCK)
        again = manager.ready(since=before)
        assert manager.kills[-1] > before
        assert manager.codes[-1] == -signal.SIGABRT
        runs.recovered(again - before)
        assert again - before <= (RECOVERY_SEC if runs.full else PATIENCE_SEC)


def test_a_loop_that_hangs_and_cannot_be_cancelled_ends_the_signs_of_life(manager, runs):
    promise = "restarted ≤ its own deadline + WatchdogSec + 5 s"
    for _, random in runs.of("a loop hangs, deaf to its deadline", promise, short=1, full=100):
        steady(manager)
        time.sleep(random.uniform(0, 1))
        before, log = time.monotonic(), len(manager.log)
        os.kill(manager.process.pid, hooked.HANG_DEAF)
        again = manager.ready(since=before)
        assert manager.kills[-1] > before
        assert {name for line in events(manager.log[log:], "watchdog.withheld") for name in line["silent"]} == {
            "hydrator"
        }
        runs.recovered(again - before)
        within = INTERVAL_SEC + STEP_SEC + GRACE_SEC + RECOVERY_SEC
        assert again - before <= (within if runs.full else PATIENCE_SEC)


def test_a_loop_that_hangs_and_is_cancelled_at_its_deadline_is_started_anew_alone(manager, runs):
    for _ in runs.of("a loop hangs", "cancelled at its deadline and started anew, the process lives", short=1, full=1):
        loaded(manager)
        kills, log = len(manager.kills), len(manager.log)
        os.kill(manager.process.pid, hooked.HANG)
        manager.until(lambda since=log: len(events(manager.log[since:], "loop.failed")) >= 2, "loop.failed")
        assert {line["loop"] for line in events(manager.log[log:], "loop.failed")} == {"hydrator"}
        assert manager.times("WATCHDOG", since=time.monotonic() - STEP_SEC - GRACE_SEC)
        assert len(manager.kills) == kills


def test_a_loop_that_fails_too_often_ends_the_process(manager, runs):
    for _ in runs.of("a loop fails 6 times within 300 s", "the process exits with 1, and starts anew", short=1, full=5):
        kills, log, before = len(manager.kills), len(manager.log), time.monotonic()
        codes = len(manager.codes)
        os.kill(manager.process.pid, hooked.BREAK)
        manager.until(lambda since=codes: len(manager.codes) > since, "the end of the process")
        ended = time.monotonic()
        runs.note(f"exit after {ended - before:.1f} s")
        assert manager.codes[codes:] == [1]
        assert len(manager.kills) == kills
        told = manager.log[log:]
        assert [line["loop"] for line in events(told, "loop.failed")].count("allocator") == 6
        assert "The loop allocator failed 6 times within 300 s" in told
        runs.recovered(manager.ready(since=ended) - ended)


def test_a_stop_is_told_and_not_taken_for_a_failure(manager):
    codes = len(manager.codes)
    manager.process.send_signal(signal.SIGTERM)
    manager.until(lambda: len(manager.codes) > codes, "the end")
    assert manager.codes[codes:] == [0]
    assert len(manager.times("STOPPING")) == 1


def test_a_store_that_does_not_answer_costs_no_sign_of_life(tmp_path, runs):
    hooks, lasts_sec = ({}, 8.0) if runs.full else ({"grace": GRACE_SEC}, 4.0)  # longer than grace and lease together
    with guarded(tmp_path) as server, redis.Redis.from_url(server.admin_url) as client:
        pid = client.info("server")["process_id"]
        with service(tmp_path, server.url, watchdog_sec=OUTAGE_WATCHDOG_SEC, **hooks).managing() as manager:
            steady(manager)
            promise = "signs of life go on, the process lives"
            for _, random in runs.of("Valkey stopped for longer than any heartbeat", promise, short=1, full=20):
                os.kill(pid, signal.SIGSTOP)
                began = time.monotonic()
                try:
                    manager.until(lambda: "Valkey does not answer" in manager.status(), "the outage in STATUS")
                    lasts = lasts_sec + (random.uniform(0, 10) if runs.full else 0)
                    manager.until(lambda end=began + lasts: time.monotonic() > end, "the end of the outage")
                    assert manager.times("WATCHDOG", since=time.monotonic() - OUTAGE_WATCHDOG_SEC)
                finally:
                    os.kill(pid, signal.SIGCONT)
                healed = time.monotonic()
                manager.until(lambda: "Valkey does not answer" not in manager.status(), "the recovery in STATUS")
                runs.recovered(time.monotonic() - healed)
            assert not manager.kills
            assert not manager.codes
            assert not events(manager.log, "watchdog.withheld")


@pytest.mark.usefixtures("raw")
def test_one_that_stands_by_serves_and_says_so(tmp_path, valkey_url):
    homes = [tmp_path / "first", tmp_path / "second"]
    for home in homes:
        home.mkdir()
    with service(homes[0], valkey_url).managing() as first, service(homes[1], valkey_url).managing() as second:
        both = [first, second]
        for one in both:
            one.ready()
        first.until(lambda: any(one.status().startswith("leads") for one in both), "one that leads")
        leads, stands = sorted(both, key=lambda one: not one.status().startswith("leads"))
        stands.until(lambda: "stands by" in stands.status(), "standing by in STATUS")
        assert "this process does not lead" in stands.status()
        assert "gates open" not in stands.status()
        leads.process.send_signal(signal.SIGTERM)
        stands.until(lambda: stands.status().startswith("leads"), "the other one leads")
