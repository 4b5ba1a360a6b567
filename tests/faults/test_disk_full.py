"""No room on the disk, and folders that may not be written: old files stay whole, nothing is left behind, the daemon lives."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.cli.candles import simulated, written
from tests.faults.runs import Runs
from tests.faults.writing import NEW
from tests.processes import Daemon, bare_environment, command_line, running

OLD = b"what was there before\n"
NO_LIMIT = 1 << 40
PATIENCE_SEC = 40.0
DAEMON = {
    "HOTBAND_SOURCE": "simulated",
    "HOTBAND_PAIRS": "EUR_USD,AUD_USD",
    "HOTBAND_COMPUTE": "inline",
    "CANDLE_HOT_DAYS": "3",
    "EVAL_INTERVAL_SEC": "1",
    "ALLOC_INTERVAL_SEC": "1",
    "DECISION_LAG_SEC": "0",
    "LEASE_TTL_SEC": "1",
}


class Ended(NamedTuple):
    code: int
    err: str


def limited(home: Path, limit: int, *words: str, **settings: str) -> Ended:
    """Run a module's command to its end, none of whose files may be longer than a limit."""
    command = [sys.executable, "-m", "tests.faults.limited", str(limit), *words]
    done = subprocess.run(
        command, cwd=home, env=bare_environment(home, settings), capture_output=True, timeout=120, check=False
    )
    return Ended(done.returncode, done.stderr.decode())


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return all that lies in a folder, hidden files too."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_files_that_are_written_together_stay_as_they_were_where_one_of_them_cannot_be(runs: Runs, tmp_path):
    promise = "old files intact, no leftovers, a sentence and code 2"
    full = readonly = 0
    for seed, random in runs.of("disk full or folder read-only: files written together", promise, short=2, full=100):
        home = tmp_path / str(seed)
        home.mkdir()
        names = [f"{random.choice(['', 'output/', 'config/'])}{number}.json" for number in range(random.randint(1, 5))]
        sizes = {name: random.choice([0, 10, 10_000, 3_000_000]) for name in names}
        sizes[random.choice(names)] = largest = random.choice([100, 100_000, 5_000_000])
        for name in names:
            (home / name).parent.mkdir(exist_ok=True)
            if random.random() < 0.7:
                (home / name).write_bytes(OLD)
        before, limit = tree(home), NO_LIMIT
        locked = home / random.choice(names)
        if random.random() < 0.5:
            limit = random.randrange(largest)
            full += 1
        else:
            locked.parent.chmod(0o555)
            readonly += 1
        ended = limited(home, limit, "tests.faults.writing", *(f"{name}={size}" for name, size in sizes.items()))
        locked.parent.chmod(0o755)
        assert ended.code == 2
        assert "cannot be written" in ended.err
        assert "Traceback" not in ended.err
        assert tree(home) == before
        assert limited(home, NO_LIMIT, "tests.faults.writing", *(f"{n}={s}" for n, s in sizes.items())).code == 0
        assert {name: (home / name).read_bytes() for name in names} == {name: NEW * sizes[name] for name in names}
    runs.note(f"{full} full, {readonly} read-only")


def test_commands_leave_the_file_that_was_there(runs: Runs, tmp_path):
    candles = tmp_path / "EUR_USD_M1.csv"
    candles.write_text(written(simulated("EUR_USD", 3)))
    commands = {
        "manifold": ["manifold", "--input", str(candles), "--output"],
        "backtest": ["backtest", "EUR_USD", "--candles", str(candles), "--days", "2", "--plot"],
    }
    folder = tmp_path / "there"
    folder.mkdir()
    file = folder / "out.html"
    promise = "old file intact, no leftovers, a sentence and code 2"
    for _, random in runs.of("disk full or folder read-only: manifold, backtest --plot", promise, short=2, full=100):
        file.write_bytes(OLD)
        words = random.choice(list(commands.values()))
        limit = random.choice([0, random.randrange(20_000), NO_LIMIT])
        folder.chmod(0o555 if limit == NO_LIMIT else 0o755)
        ended = limited(tmp_path, limit, "hotbandd", *words, str(file))
        folder.chmod(0o755)
        assert ended.code == 2, ended.err
        assert f"{file} cannot be written" in ended.err
        assert "Traceback" not in ended.err
        assert tree(folder) == {"out.html": OLD}


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_daemon_that_cannot_write_its_number_says_so_and_one_that_ran_is_not_touched(tmp_path, fault):
    limit = 0 if fault == "full" else NO_LIMIT
    tmp_path.chmod(0o755 if fault == "full" else 0o555)
    ended = limited(tmp_path, limit, "hotbandd", "run", HOTBAND_HTTP="127.0.0.1:0", **DAEMON)
    tmp_path.chmod(0o755)
    assert ended.code == 2
    assert "hotbandd.pid cannot be written" in ended.err
    assert "Traceback" not in ended.err


def test_a_daemon_whose_log_has_no_room_lives_and_counts_the_lines(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        Path("/dev/full").open("wb") as full,
        subprocess.Popen(
            [sys.executable, "-m", "hotbandd", "run"],
            stdout=full,
            stderr=full,
            cwd=tmp_path,
            env=bare_environment(tmp_path, {**DAEMON, "HOTBAND_HTTP": address}),
        ) as process,
    ):
        try:
            deadline = time.monotonic() + PATIENCE_SEC
            while not _well(address):
                assert process.poll() is None, "it ended"
                assert time.monotonic() < deadline
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SEC) == 0
        finally:
            process.kill()


def _well(address: str) -> bool:
    try:
        pages = {path: httpx.get(f"http://{address}/{path}") for path in ("healthz", "api/rolling/gates", "metrics")}
    except httpx.TransportError:
        return False
    lost = [line for line in pages["metrics"].text.splitlines() if line.startswith("hotband_file_failures_total")]
    return pages["healthz"].status_code == pages["api/rolling/gates"].status_code == 200 and bool(lost)


def test_a_daemon_whose_embedded_server_has_no_room_lives_and_heals_once_there_is(runs: Runs, tmp_path):
    promise = "the loop alive, readyz red, the metric raised; heals once there is room; nothing stored is lost"
    for seed, random in runs.of("no room for the embedded Valkey's file", promise, short=1, full=30):
        home = tmp_path / str(seed)
        home.mkdir()
        with running(home, **DAEMON) as daemon:
            daemon.ready()
            daemon.event("evaluator.published")
            time.sleep(random.uniform(0, 1))
            file = next((home / "data" / "valkey" / "appendonlydir").glob("*.incr.aof"))
            (server,) = [pid for pid in daemon.family() if "valkey-server" in command_line(pid)]
            stored = candles(daemon)
            limit = file.stat().st_size + random.randrange(2_000)
            for pid in (daemon.process.pid, server):  # the daemon too: it starts the server anew
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            daemon.until(lambda: daemon.get("/readyz")[0] == 503, "/readyz with 503")
            assert daemon.get("/healthz")[0] == 200
            daemon.until(lambda: "hotband_valkey_up 0.0" in _metrics(daemon), "the metric")
            time.sleep(random.uniform(0, 2))
            for pid in (daemon.process.pid, *daemon.family()):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            healed = time.monotonic()
            published = len(daemon.events("evaluator.published"))
            daemon.event("evaluator.published", published + 1)
            runs.recovered(time.monotonic() - healed)
            daemon.ready()
            assert candles(daemon) >= stored
            assert daemon.get("/healthz")[0] == 200
            assert not daemon.events("loop.failed")
            assert daemon.end(signal.SIGTERM) < PATIENCE_SEC


def candles(daemon: Daemon) -> set[int]:
    return {row["t"] for row in daemon.get("/api/candles?instrument=EUR_USD&count=5000")[1]["candles"]}


def _metrics(daemon: Daemon) -> str:
    return httpx.get(daemon.event("daemon.started")["http"] + "/metrics").text
