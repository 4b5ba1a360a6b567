"""A daemon killed or asked to end at a random moment of its life: nothing of it stays, nothing is lost, nothing is published afterwards."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import anyio
from anyio import to_thread
from redis import Redis
from redis.exceptions import RedisError

from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.core.candles import DAY_MS, Candles, concatenate
from tests.fake_oanda import TOKEN, FakeOanda, Fault, fake_oanda
from tests.faults.runs import Runs, on_this_machine
from tests.faults.witness import NOTIFIED, plainly, witness
from tests.processes import Daemon, command_line, running
from tests.valkey import Guarded, guarded, owner

PAIRS = ("EUR_USD", "AUD_USD")
SETTINGS = {
    "HOTBAND_SOURCE": "simulated",
    "HOTBAND_PAIRS": ",".join(PAIRS),
    "HOTBAND_WORKERS": "2",
    "CANDLE_HOT_DAYS": "31",
    "EVAL_INTERVAL_SEC": "1",
    "ALLOC_INTERVAL_SEC": "1",
    "DECISION_LAG_SEC": "0",
    "LEASE_TTL_SEC": "5",
}
FENCED = ("gates", "weights", *(f"manifold:{pair}" for pair in PAIRS))
LIFE_SEC = 6.0  # of a run at most: its history is there after two or three, on an idle machine
KEPT_MS = 30 * DAY_MS  # candles are kept for a day more
LIMIT_SEC = 5.0
PATIENCE_SEC = 30.0
POLL_SEC = 0.01


class Kept(NamedTuple):
    """What a store holds: opening times of candles, gate states, places of what was published last, the kill switch."""

    candles: dict[str, set[int]]
    states: dict[str, dict[str, Any]]
    places: dict[str, tuple[int, ...]]
    kill_switch: bytes | None

    def lacks(self, before: Kept) -> list[str]:
        """Say what of an earlier moment is not here any more, or went back."""
        faults = []
        for pair in PAIRS:
            kept_since = max(self.candles[pair], default=0) - KEPT_MS
            if {t for t in before.candles[pair] if t >= kept_since} - self.candles[pair]:
                faults.append(f"candles of {pair}")
        for pair, state in before.states.items():
            now = self.states.get(pair, {"last_slot": -1})
            if now["last_slot"] < state["last_slot"] or (now["last_slot"] == state["last_slot"] and now != state):
                faults.append(f"state of {pair}: {state} became {now}")
        faults += [f"{key} went back" for key, place in before.places.items() if self.places.get(key, (0, 0)) < place]
        if self.kill_switch != before.kill_switch and before.kill_switch is not None:
            faults.append("kill switch")
        return faults


NOTHING = Kept({pair: set() for pair in PAIRS}, {}, {}, None)


def kept(client: Redis) -> Kept:
    """Read, at one moment, what is in a store."""
    with client.pipeline(transaction=True) as at_once:
        for pair in PAIRS:
            at_once.zrange(f"md:candles:{pair}:M1", 0, -1, withscores=True)
            at_once.get(f"opt:rolling:state:{pair}")
        for document in FENCED:
            at_once.get(f"hotband:fence:{document}")
        at_once.get("ops:kill_switch")
        *found, switch = at_once.execute()
    candles = {pair: {int(score) for _, score in found[2 * i]} for i, pair in enumerate(PAIRS)}
    states = {pair: json.loads(found[2 * i + 1]) for i, pair in enumerate(PAIRS) if found[2 * i + 1]}
    fences = dict(zip(FENCED, found[2 * len(PAIRS) :], strict=True))
    places = {name: tuple(map(int, raw.split(b":"))) for name, raw in fences.items() if raw}
    return Kept(candles, states, places, switch)


def of_home(home: Path) -> set[int]:
    """Return the processes that run for a home, whoever their parent is now: its name is in their words or their environment."""
    name, found = os.fsencode(home), set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and name in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                found.add(int(entry.name))
    return found


def all_gone(home: Path, within_sec: float) -> float:
    """Wait until nothing of a home runs; return how long that took."""
    began = time.monotonic()
    while left := of_home(home):
        late = time.monotonic() > began + within_sec
        assert not late, f"after {within_sec} s there still run {[command_line(pid) for pid in left]}"
        time.sleep(POLL_SEC)
    return time.monotonic() - began


def lives(daemon: Daemon, random: Random) -> None:
    """Wait for a random moment of a daemon's life, often one at which something is going on."""
    moment = random.choice(["", "leader.leading", "intake.restored", "hydrator.loaded", "evaluator.published"])
    until = time.monotonic() + (2 * LIFE_SEC if moment else random.uniform(0, LIFE_SEC))
    while time.monotonic() < until and not (moment and daemon.events(moment)):
        time.sleep(POLL_SEC)
    time.sleep(random.uniform(0, 0.5))


def test_a_killed_daemon_leaves_no_process_and_the_next_one_loses_nothing(runs: Runs, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    socket = home / "data" / "valkey" / "valkey.sock"
    promise = "0 orphans after 1 s; the next start loses no candle, state, pass or fail"
    seen, before = 0, NOTHING
    for seed, random in runs.of("daemon killed, with its embedded Valkey", promise, short=1, full=100):
        with running(home, log=f"{seed}.log", **SETTINGS) as daemon:
            if seed % 2:
                lives(daemon, random)
            else:  # in the midst of its work
                daemon.event("evaluator.published")
                time.sleep(random.uniform(0, 2))
            with suppress(RedisError), Redis(unix_socket_path=str(socket)) as client:
                before = kept(client)
                daemon.process.kill()
            daemon.process.kill()
            runs.recovered(all_gone(home, on_this_machine(1.0) if runs.full else PATIENCE_SEC))
        with owner(home) as server, Redis.from_url(server.url) as client:
            after = kept(client)
        assert after.lacks(before) == []
        seen += bool(before.states)
    runs.note(f"{seen} of them with states of gates")


def test_a_daemon_whose_embedded_server_hangs_ends_it_and_itself(runs: Runs, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    promise = "exit ≤ 5 s, code 0, no process left"
    for seed, random in runs.of("SIGTERM while the embedded Valkey hangs", promise, short=1, full=30):
        with running(home, log=f"{seed}.log", **SETTINGS) as daemon:
            daemon.event("daemon.started")
            time.sleep(random.uniform(0, 3))
            (server,) = [pid for pid in daemon.family() if "valkey-server" in command_line(pid)]
            os.kill(server, signal.SIGSTOP)
            time.sleep(random.choice([0.0, random.uniform(0, 3)]))
            took = daemon.end(signal.SIGTERM)
        runs.recovered(took)
        assert took <= (on_this_machine(LIMIT_SEC) if runs.full else PATIENCE_SEC)
        assert daemon.process.returncode == 0, daemon.stderr
        all_gone(home, PATIENCE_SEC)


async def market(now: int) -> dict[str, Candles]:
    source, found = SimulatedSource(), {}
    for pair in PAIRS:
        pages = [page.candles async for page in source.fetch(pair, now - 33 * DAY_MS, now + DAY_MS)]
        found[pair] = concatenate(pages)
    return found


class Scene(NamedTuple):
    """A server, a fake OANDA, and the number of the server's process."""

    server: Guarded
    client: Redis
    oanda: FakeOanda
    server_pid: int

    def hang_server(self) -> None:
        os.kill(self.server_pid, signal.SIGSTOP)

    def heal(self) -> None:
        os.kill(self.server_pid, signal.SIGCONT)
        self.oanda.misbehave_always(None)


async def test_a_daemon_that_is_asked_to_end_does_so_within_five_seconds_whatever_goes_on(runs: Runs, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    candles = await market(int(time.time() * 1000))
    early = 0
    with guarded(tmp_path, *NOTIFIED) as server, Redis.from_url(server.admin_url, protocol=2) as client:
        real = fake_oanda(candles, lambda: int(time.time() * 1000))
        async with plainly(), real as oanda, witness(server.admin_url) as seen:
            scene = Scene(server, client, oanda, int(client.info("server")["process_id"]))
            settings = {**SETTINGS, "HOTBAND_SOURCE": "oanda", "OANDA_API_KEY": TOKEN, "VALKEY_URL": server.url}
            promise = "exit ≤ 5 s, code 0, lease released, nothing half-written, nothing published afterwards"
            for seed, random in runs.of("SIGTERM at any moment; Valkey or OANDA hangs", promise, short=3, full=100):
                ill = ["", "Valkey", "OANDA"][seed % 3]
                if random.random() < 0.3:
                    client.flushall()
                words = {"module": "tests.faults.oanda_daemon", "log": f"{seed}.log", "FAKE_OANDA": oanda.url}
                with running(home, **words, **settings) as daemon:
                    if ill == "OANDA" and random.random() < 0.5:
                        oanda.misbehave_always(Fault.HANG)
                        await anyio.sleep(random.uniform(0, LIFE_SEC))
                    else:
                        await to_thread.run_sync(lives, daemon, random)
                    if ill == "Valkey":
                        scene.hang_server()
                    elif ill == "OANDA":
                        oanda.misbehave_always(Fault.HANG)
                    await anyio.sleep(random.choice([0.0, random.uniform(0, 3)]) if ill else 0)
                    took = await to_thread.run_sync(daemon.end, signal.SIGTERM)
                    scene.heal()
                runs.recovered(took)
                assert took <= (on_this_machine(LIMIT_SEC) if runs.full else PATIENCE_SEC)
                if daemon.process.returncode == -signal.SIGTERM:  # before the interpreter had begun with anything
                    assert daemon.stderr == ""
                    early += 1
                else:
                    assert daemon.process.returncode == 0, daemon.stderr
                assert "Traceback" not in daemon.stderr
                all_gone(home, PATIENCE_SEC)
                assert [path.name for path in home.rglob(".*")] == []
                kept(client)
                if ill != "Valkey":
                    lease = (client.get("hotband:leader") or b"").decode()  # that of a run before may still hold
                    assert f"-{daemon.process.pid}-" not in lease
            runs.note(f"{seen.publications} publications seen")
            runs.note(f"{early} ended before they had begun")
