"""The three loops together: the same candles give the same bytes, whatever the hydrator's pace, the store or a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from hotbandd import daemon, parts
from hotbandd.adapters.clock import VirtualClock
from hotbandd.adapters.replay import ReplaySource
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.adapters.store.documents import DocumentStore
from hotbandd.adapters.store.memory import MemoryStore
from hotbandd.core.candles import DAY_MS
from hotbandd.ports import CandleSource
from hotbandd.services.loop import Loop, LoopRunner
from hotbandd.settings import Settings
from tests.services.scenes import EVAL_MS, LAG_MS, NOW, PAIRS, desk_of, settings_of

HOUR_MS = 3_600_000
BEGIN = NOW + 4 * HOUR_MS - NOW % HOUR_MS  # 16:00 UTC
END = BEGIN + 6 * HOUR_MS  # over New York's close and Sydney's opening
CHANNELS = ("ws:gates", "ws:weights")


def settings(**given: object) -> Settings:
    return settings_of(candle_hot_days=36, alloc_top_k=2, **{"hotband_processing_interval": 60, **given})


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return candle files of forty days of the simulated market."""
    folder = tmp_path_factory.mktemp("candles")
    anyio.run(write_candles, folder)
    return folder


async def write_candles(folder: Path) -> None:
    for pair in PAIRS:
        rows = ["time_ms,open,high,low,close,volume,bid,ask"]
        async for page in SimulatedSource().fetch(pair, BEGIN - 40 * DAY_MS, END):
            rows += [
                ",".join(map(repr, row)) for row in zip(*(column.tolist() for column in page.candles), strict=True)
            ]
        (folder / f"{pair}_M1.csv").write_text("\n".join(rows))


@asynccontextmanager
async def listening(store: DocumentStore) -> AsyncIterator[list[tuple[str, bytes]]]:
    """Collect the messages that a store sends."""
    seen: list[tuple[str, bytes]] = []

    async def read(messages: AsyncIterator[tuple[str, bytes]]) -> None:
        async for message in messages:
            seen.append(message)  # noqa: PERF401  the list is read while it grows

    async with store.subscribe(CHANNELS) as messages, anyio.create_task_group() as group:
        group.start_soon(read, messages)
        yield seen
        group.cancel_scope.cancel()


async def run(desk: daemon.Desk, clock: VirtualClock, until: int) -> None:
    """Run the loops of a desk until a moment."""
    context = desk.context
    runner = LoopRunner(clock, context.telemetry, desk.health, context.leadership)

    async def member(loop: Loop) -> None:
        async with clock.member():
            if loop is not desk.hydrator:
                await context.market.loaded.wait()
            await runner.run(loop)

    async with anyio.create_task_group() as group:
        for loop in desk.loops:
            group.start_soon(member, loop)
        await clock.run(until)
        group.cancel_scope.cancel()


async def replayed(
    given: Settings,
    source: CandleSource,
    *,
    begin: int = BEGIN,
    until: Sequence[int] = (END,),
    store: DocumentStore | None = None,
    done: Callable[[list[Any]], Awaitable[bool]] | None = None,
) -> list[tuple[str, bytes]]:
    """Run a new process up to each of some moments, all over one store; return all messages."""
    clock = VirtualClock(begin)
    store = store or MemoryStore(parts.ages(given), clock.now)
    await store.init_kill_switch(engaged=False)
    async with listening(store) as seen:
        for moment in until:
            await run(await desk_of(given, clock, store, source), clock, moment)
        await anyio.wait_all_tasks_blocked()
    return seen


def decoded(messages: Sequence[tuple[str, bytes]], channel: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(raw) for name, raw in messages if name == channel]


def without_epochs(messages: Sequence[tuple[str, bytes]]) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Return documents by channel and place; of one that came again under a new epoch, the last."""
    found = {}
    for channel in CHANNELS:
        for document in decoded(messages, channel):
            del document["epoch"]
            found[channel, document["ts"], document["seq"]] = document
    return found


async def test_the_same_candles_give_the_same_bytes_at_any_pace_of_the_hydrator(directory):
    first = await replayed(settings(), ReplaySource(directory))
    assert await replayed(settings(), ReplaySource(directory)) == first
    assert await replayed(settings(hotband_processing_interval=300), ReplaySource(directory)) == first
    blobs, weights = decoded(first, "ws:gates"), decoded(first, "ws:weights")
    slots = [blob["ts"] for blob in blobs if blob["ts"] == blob["evaluated_ts"]]
    assert slots == list(range(BEGIN, END, EVAL_MS))
    assert any(1 in blob["gates"].values() for blob in blobs)
    assert any(document["weights"] for document in weights)
    assert any(blob["ts"] != blob["evaluated_ts"] for blob in blobs)  # boundaries were published as well


async def test_restarts_change_no_gate_and_no_weight(directory):
    whole = await replayed(settings(), ReplaySource(directory))
    stops = (BEGIN + EVAL_MS + LAG_MS, BEGIN + 2 * HOUR_MS + 7 * 60_000, BEGIN + 5 * HOUR_MS - 240_000, END)
    assert without_epochs(await replayed(settings(), ReplaySource(directory), until=stops)) == without_epochs(whole)
