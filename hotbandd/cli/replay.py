"""``hotbandd replay``: the three loops over past candles, under a virtual clock."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path

import anyio
import msgspec
from rich.table import Table

from hotbandd.adapters.replay import ReplaySource
from hotbandd.adapters.store.keys import GATES_CHANNEL, WEIGHTS_CHANNEL
from hotbandd.cli import common, progress, replaying
from hotbandd.core.documents import GatesBlob, Weights
from hotbandd.errors import UsageError


def replay(candles: Path, start: str, end: str, *, speed: str, as_json: bool, env_file: Path | None) -> None:
    """Replay candles, and print what is published: JSON lines for programs, a summary for people."""
    first, last = common.moment(start, "--from"), common.moment(end, "--to")
    if last <= first:
        raise UsageError("--to must be later than --from; as a day, it is the day after the last.")
    pace = _pace(speed)
    common.run(lambda: _replay(candles, first, last, pace, as_json, env_file))


async def _replay(candles: Path, first: int, last: int, pace: float, as_json: bool, env_file: Path | None) -> None:
    source = ReplaySource(candles)
    settings = await replaying.settings_of(candles, source, env_file)
    await replaying.covered(source, settings.pairs, first, last)
    async with replaying.opened(source, settings, first, pace=pace) as opened:
        seen = _Seen(opened.settings.pairs, as_json=as_json)
        began = time.monotonic()
        with progress.moments("replay", first, last) as moved:
            async with (
                opened.store.subscribe([GATES_CHANNEL, WEIGHTS_CHANNEL]) as messages,
                anyio.create_task_group() as group,
            ):
                group.start_soon(seen.read, messages)
                await opened.run(last, moved)
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
    if not as_json:
        seen.summary(time.monotonic() - began)


class _Seen:
    """What was published: printed as it comes, or counted for a summary."""

    def __init__(self, pairs: tuple[str, ...], *, as_json: bool) -> None:
        self._as_json = as_json
        self._blobs = self._weights = 0
        self._open: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._closed: Counter[str] = Counter()
        self._allocated: Counter[str] = Counter()
        self._last = dict.fromkeys(pairs, 0)

    async def read(self, messages: AsyncIterator[tuple[str, bytes]]) -> None:
        """Take every message."""
        async for channel, payload in messages:
            if self._as_json:
                sys.stdout.buffer.write(payload + b"\n")
            elif channel == GATES_CHANNEL:
                self._blob(msgspec.json.decode(payload, type=GatesBlob))
            else:
                self._weights += 1
                self._allocated.update(msgspec.json.decode(payload, type=Weights).weights.keys())

    def _blob(self, blob: GatesBlob) -> None:
        self._blobs += 1
        self._open.update({pair: flag for pair, flag in blob.gates.items() if flag})
        for pair, reasons in blob.reasons.items():
            self._reasons.update(reasons)
            if self._last[pair] and not blob.gates[pair]:
                self._closed.update(reasons)
            self._last[pair] = blob.gates[pair]

    def summary(self, seconds: float) -> None:
        """Print what happened."""
        console = common.console()
        console.print(f"{self._blobs} blobs and {self._weights} weights documents in {seconds:.1f} s.")
        gates = Table("instrument", "blobs with an open gate", "weights documents with it", title="Gates")
        for pair in self._last:
            gates.add_row(pair, str(self._open[pair]), str(self._allocated[pair]))
        reasons = Table("reason", "shut gates that show it", "gates that it closed", title="Why gates were shut")
        for reason, count in self._reasons.most_common():
            reasons.add_row(reason, str(count), str(self._closed[reason]))
        console.print(gates, reasons)


def _pace(text: str) -> float:
    if text == "max":
        return inf
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0 < pace < inf:
        raise UsageError(f"--speed must be max, or how many seconds pass per second, such as 60, not {text!r}.")
    return pace
