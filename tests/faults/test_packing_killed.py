"""A process killed while it packs candles: nobody misses one that was stored, nobody sees one twice, and the next one goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from redis import Redis

from hotbandd.adapters.store import keys
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core import packed_day
from hotbandd.core.candles import DAY_MS, Candles
from hotbandd.ports import Store
from tests.adapters.store_samples import PAIR
from tests.faults import packing
from tests.faults.runs import Runs
from tests.faults.server import server

PLACE = keys.CandlePlace(PAIR, "M1")


class Packer:
    """The process, and how many candles it says are stored."""

    def __init__(self, url: str, seed: int) -> None:
        command = [sys.executable, "-m", "tests.faults.packing", url, str(seed)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.stored, self.done = 0, False
        self._reader = threading.Thread(target=self._listen)
        self._reader.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.done = line == "done\n"
            self.stored = self.stored if self.done else int(line)

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> int:
        code = self.process.wait(60)
        self._reader.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


async def read(store: Store, at_least: int) -> Candles:
    """Return what is stored: a beginning of the whole, each candle once, and none missing of those that were said to be there."""
    page = await store.candles(PAIR, "M1", 0, 2**53)
    assert page.refused == {}
    assert page.candles.size >= at_least
    for ours, theirs in zip(page.candles, packing.candles(), strict=True):
        np.testing.assert_array_equal(ours, theirs[: page.candles.size])
    return page.candles


def in_both(raw: Redis) -> int:
    """Return how many minutes stand in the sorted set and in a packed day."""
    single = {int(score) for _, score in raw.zrange(PLACE.recent, 0, -1, withscores=True)}
    packed: set[int] = set()
    for name, value in raw.hgetall(PLACE.packed).items():
        begins = int(np.datetime64(name.decode(), "ms").astype(np.int64))
        packed |= set(packed_day.unpack(value, begins).t.tolist())
    return len(single & packed)


async def test_no_candle_is_lost_or_double_whenever_the_process_that_packs_dies(runs: Runs, tmp_path: Path) -> None:
    promise = "no stored candle lost, none twice, the next process goes on"
    with server(tmp_path) as made:
        async with open_valkey(made.url, packing.AGES_PACKED) as store:
            for seed, random in runs.of("process killed while it packs candles", promise, short=2, full=40):
                made.client.flushall()
                told, kills = 0, 0
                while True:
                    packer = Packer(made.url, seed * 1000 + kills)
                    until = told + random.randrange(100, 1500)
                    while packer.process.poll() is None and packer.stored < until:
                        told = max(told, packer.stored)
                        await read(store, told)
                    if packer.process.poll() is not None:
                        break
                    packer.kill()
                    kills += 1
                    told = max(told, packer.stored)
                    await read(store, told)
                assert packer.end() == 0
                assert packer.done
                assert (await read(store, 0)).size == packing.candles().size
                assert in_both(made.client) == 0
                newest, hot = int(packing.candles().t[-1]), packing.AGES_PACKED.candles_hot_days
                assert made.client.zrangebyscore(PLACE.recent, 0, newest - (hot + 2) * DAY_MS) == []
                runs.note(f"{kills} kills")
