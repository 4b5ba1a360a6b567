"""The same candles give the same gates and weights, byte for byte but for the epoch: fed live over HTTP, killed or not, and replayed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from redis.asyncio import Redis

from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.core.candles import DAY_MS, concatenate
from tests.faults.runs import Runs
from tests.processes import bare_environment, hotbandd
from tests.valkey import ROOT

PAIRS = ("EUR_USD", "GBP_USD", "AUD_USD")
BEGIN, END = 1_718_820_000_000, 1_718_834_400_000  # Wednesday 2024-06-19, 18:00 to 22:00 UTC: over New York's close
SETTINGS = {
    "HOTBAND_PAIRS": ",".join(PAIRS),
    "CANDLE_HOT_DAYS": "2",  # so that what a restart reads is packed, most of it
    "CANDLE_RETENTION_DAYS": "36",
    "ALLOC_TOP_K": "1",
    "HOTBAND_PROCESSING_INTERVAL": "60",
    "OANDA_API_KEY": "not-asked-for-here",
}
CHANNELS = ("ws:gates", "ws:weights")
Documents = dict[tuple[str, int], bytes]


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return files of forty days of the simulated market and the hours that are lived, as OANDA would word its prices."""
    folder = tmp_path_factory.mktemp("candles")
    anyio.run(write_candles, folder)
    return folder


async def write_candles(folder: Path) -> None:
    source = SimulatedSource()
    for pair in PAIRS:
        pages = [page.candles async for page in source.fetch(pair, BEGIN - 40 * DAY_MS, END)]
        t, *prices = concatenate(pages)
        o, h, low, c, v, bid, ask = (np.round(column, 5).tolist() for column in prices)
        rows = zip(t.tolist(), o, h, low, c, v, bid, ask, strict=True)
        lines = ["time_ms,open,high,low,close,volume,bid,ask", *(",".join(map(repr, row)) for row in rows)]
        (folder / f"{pair}_M1.csv").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def replayed(candles: Path, tmp_path_factory: pytest.TempPathFactory) -> Documents:
    """Return what ``hotbandd replay`` prints."""
    days = ("--from", "2024-06-19T18:00", "--to", "2024-06-19T22:00")
    done = hotbandd(tmp_path_factory.mktemp("home"), "replay", "--candles", str(candles), *days, "--json", **SETTINGS)
    assert (done.code, done.err) == (0, "")
    return placed(line.encode() for line in done.out.splitlines())


def placed(messages: Any) -> Documents:
    """Return documents by channel and moment, without their epoch; the first of each moment stands."""
    found: Documents = {}
    for raw in messages:
        document = json.loads(raw)
        channel = "ws:gates" if "gates" in document else "ws:weights"
        assert document.pop("epoch") > 0
        found.setdefault((channel, document["ts"]), json.dumps(document).encode())
    return found


@asynccontextmanager
async def heard(url: str) -> AsyncIterator[list[bytes]]:
    """Collect what is published on the channels while this lasts."""
    messages: list[bytes] = []
    async with Redis.from_url(url, protocol=2) as client, client.pubsub() as channels:
        await channels.subscribe(*CHANNELS)
        done = anyio.Event()

        async def listen() -> None:
            async for message in channels.listen():
                if message["type"] == "message":
                    if message["data"] == b"done":
                        done.set()
                        return
                    messages.append(message["data"])

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            yield messages
            await client.publish(CHANNELS[0], b"done")
            await done.wait()


async def live(url: str, candles: Path, home: Path, begin: int, die: str = "never") -> int:
    """Run a live process to its end; return its exit code."""
    words = [sys.executable, "-m", "tests.daemon.live", url, str(candles), str(begin), str(END), die]
    environment = bare_environment(home, SETTINGS)
    done = await anyio.run_process(words, cwd=ROOT, env=environment, check=False, stderr=subprocess.PIPE)
    assert die != "never" or not done.stderr, done.stderr.decode()
    return done.returncode


def test_the_replay_shows_open_gates_a_boundary_and_weights(replayed: Documents) -> None:
    blobs = [json.loads(raw) for (channel, _), raw in replayed.items() if channel == "ws:gates"]
    weights = [json.loads(raw) for (channel, _), raw in replayed.items() if channel == "ws:weights"]
    assert len([blob for blob in blobs if blob["ts"] == blob["evaluated_ts"]]) == 16
    assert (
        len([blob for blob in blobs if blob["ts"] != blob["evaluated_ts"]]) == 1
    )  # an exit window; all else falls on slots
    assert {flag for blob in blobs for flag in blob["gates"].values()} == {0, 1}
    assert any(document["weights"] for document in weights)


async def test_live_with_and_without_kills_publishes_what_the_replay_does(
    runs: Runs, raw: Redis, valkey_url: str, candles: Path, replayed: Documents, tmp_path: Path
) -> None:
    """Each killed process dies outright before or after one of its publications; the next one begins at the moment of that."""
    async with heard(valkey_url) as whole:
        assert await live(valkey_url, candles, tmp_path, BEGIN) == 0
    assert placed(whole) == replayed
    assert len(whole) == len(replayed)
    states = await counters(raw)
    kills = 0
    promise = "gates, weights, passes and fails as if it had not been"
    for _, random in runs.of("daemon killed at any of its publications, several times", promise, short=1, full=100):
        await raw.flushall()
        begin = BEGIN
        async with heard(valkey_url) as parts:
            for _ in range(random.randint(1, 3)):
                die = f"{random.randint(1, 14)}{random.choice(['', '!'])}"
                ended = await live(valkey_url, candles, tmp_path, begin, die)
                assert ended in {0, -signal.SIGKILL}
                kills += ended != 0
                begin = await moment_of_death(raw, begin)
            assert await live(valkey_url, candles, tmp_path, begin) == 0
        assert placed(parts) == replayed
        assert await counters(raw) == states
    runs.note(f"{kills} kills")


async def moment_of_death(raw: Redis, begin: int) -> int:
    """Return the clock at the newest publication, a lag after its slot, from which a new process goes on."""
    moments = [begin - 10_000]
    for key in ("opt:rolling:gates_blob", "opt:allocator:status"):
        stored = await raw.get(key)
        moments += [json.loads(stored)["ts"]] if stored else []
    return max(moments) + 10_000


async def counters(raw: Redis) -> dict[str, Any]:
    return {pair: json.loads(await raw.get(f"opt:rolling:state:{pair}")) for pair in PAIRS}
