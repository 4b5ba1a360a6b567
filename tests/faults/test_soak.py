"""Hours and days of a daemon on a fast clock: what it holds of memory and descriptors stays what it was."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import Daemon, bare_environment, descendants
from tests.valkey import ROOT

HOUR_MS = 3_600_000
LIVE = {
    "HOTBAND_SOURCE": "simulated",
    "HOTBAND_HTTP": "127.0.0.1:0",
    "HOTBAND_WORKERS": "1",
    "DECISION_LAG_SEC": "0",
}
SMALL = {"HOTBAND_PAIRS": "EUR_USD,USD_JPY", "CANDLE_HOT_DAYS": "31"}
PATIENCE_SEC = 600.0
CONNECTIONS = 12  # to Valkey and to who looks at the pages: opened and closed as needed

pytestmark = pytest.mark.usefixtures("raw")


class Held(NamedTuple):
    """What the daemon and its workers hold: resident memory in MB, descriptors of the daemon, threads of it; and its clock, ms."""

    now: int
    memory: float
    descriptors: int
    threads: int


@contextmanager
def fast(home: Path, speed: float, settings: dict[str, str]) -> Iterator[Daemon]:
    given = {**LIVE, **settings, "SPEED": str(speed), "PYTHONPATH": str(ROOT)}
    with (home / "stderr.log").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.soak"],
            stdout=err,
            stderr=err,
            cwd=home,
            env=bare_environment(home, given),
        )
    daemon = Daemon(process, home / "stderr.log")
    try:
        yield daemon
    finally:
        process.kill()
        process.wait()


def held(daemon: Daemon, url: str) -> Held:
    with urllib.request.urlopen(f"{url}/status", timeout=30) as answer:
        now = json.load(answer)["now"]
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in descendants(daemon.process.pid)]
    memory = sum(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) for text in texts) / 1024
    own = Path(f"/proc/{daemon.process.pid}")
    threads = int(re.search(r"Threads:\s+(\d+)", (own / "status").read_text())[1])
    return Held(now, memory, len(list((own / "fd").iterdir())), threads)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def test_memory_and_descriptors_stay_what_they_were(tmp_path, runs, valkey_url):
    hours, warm_hours, speed, grows = (24, 3, 400.0, 0.02) if runs.full else (2, 1, 1200.0, 0.1)
    settings = {"VALKEY_URL": valkey_url, **({} if runs.full else SMALL)}
    promise = f"memory + {grows:.0%} at most, descriptors flat"
    for _ in runs.of(f"{hours} h at {speed:g} times the speed", promise, short=1, full=1):
        with fast(tmp_path, speed, settings) as daemon:
            url = daemon.event("daemon.started")["http"]
            deadline = time.monotonic() + PATIENCE_SEC
            while not daemon.events("hydrator.loaded"):
                assert time.monotonic() < deadline, daemon.stderr
                time.sleep(0.2)
            begin = held(daemon, url).now + warm_hours * HOUR_MS  # caches fill, connections open
            samples = [held(daemon, url)]
            while samples[-1].now < begin + hours * HOUR_MS:
                assert daemon.process.poll() is None, daemon.stderr
                time.sleep(0.25)
                samples.append(held(daemon, url))
            slots = len(daemon.events("evaluator.published"))
            assert daemon.end(signal.SIGTERM) < 10
            assert daemon.process.returncode == 0
        warm = [one for one in samples if one.now >= begin]
        part = max(1, len(warm) // 6)
        first, last = warm[:part], warm[-part:]
        was, became = (median([one.memory for one in some]) for some in (first, last))
        runs.note(
            f"{was:.1f} MB, then {became:.1f} MB ({became / was - 1:+.1%}), most {max(s.memory for s in warm):.1f}"
        )
        runs.note(
            f"{min(s.descriptors for s in warm)} to {max(s.descriptors for s in warm)} descriptors; {slots} slots"
        )
        assert became <= was * (1 + grows)
        assert median([s.descriptors for s in last]) <= median([s.descriptors for s in first]) + 1
        assert max(s.descriptors for s in warm) <= min(s.descriptors for s in warm) + CONNECTIONS
        assert max(s.threads for s in last) <= max(s.threads for s in first) + 1
        assert slots > hours
        assert not daemon.events("loop.failed")
