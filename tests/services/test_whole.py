"""The three loops together: the same candles give the same bytes, whatever the hydrator's pace, the store or a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
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
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core.candles import DAY_MS
from hotbandd.ports import CandleSource
from hotbandd.services.loop import Due, Loop, LoopRunner
from hotbandd.settings import Settings
from tests.services.scenes import EVAL_MS, LAG_MS, NOW, PAIRS, desk_of, settings_of

HOUR_MS = 3_600_000
BEGIN = NOW + 4 * HOUR_MS - NOW % HOUR_MS  # 16:00 UTC
END = BEGIN + 6 * HOUR_MS  # over New York's close and Sydney's opening
CHANNELS = ("ws:gates", "ws:weights")


def settings(**given: object) -> Settings:
    return settings_of(candle_hot_days=36, alloc_top_k=1, **{"hotband_processing_interval": 60, **given})


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
            await runner.run(loop)

    await desk.hydrator.step(Due(clock.now(), clock.now()))  # decisions wait for the history
    async with anyio.create_task_group() as group:
        for loop in desk.loops:
            group.start_soon(member, loop)
        await clock.run(until)
        group.cancel_scope.cancel()


async def replayed(
    given: Settings, source: CandleSource, *, until: Sequence[int] = (END,), store: DocumentStore | None = None
) -> list[tuple[str, bytes]]:
    """Run a new process up to each of some moments, all over one store; return all messages."""
    moment = BEGIN
    store = store or MemoryStore(parts.ages(given), lambda: moment)
    await store.init_kill_switch(engaged=False)
    async with listening(store) as seen:
        for stop in until:
            clock = VirtualClock(moment)
            await run(await desk_of(given, clock, store, source), clock, stop)
            moment = stop
        await anyio.wait_all_tasks_blocked()
    return seen


def decoded(messages: Sequence[tuple[str, bytes]], channel: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(raw) for name, raw in messages if name == channel]


def without_epochs(messages: Sequence[tuple[str, bytes]]) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Return documents by channel and place; what a new process publishes again, judged by its present, is left out."""
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    for channel in CHANNELS:
        for document in decoded(messages, channel):
            del document["epoch"]
            found.setdefault((channel, document["ts"], document["seq"]), document)
    return found


@pytest.fixture(scope="module")
def whole(directory: Path) -> list[tuple[str, bytes]]:
    """Return the messages of an uninterrupted run."""
    return anyio.run(replayed, settings(), ReplaySource(directory))


def test_a_replay_shows_gates_weights_and_boundaries(whole):
    blobs, weights = decoded(whole, "ws:gates"), decoded(whole, "ws:weights")
    slots = [blob["ts"] for blob in blobs if blob["ts"] == blob["evaluated_ts"]]
    assert slots == list(range(BEGIN, END, EVAL_MS))
    assert any(1 in blob["gates"].values() for blob in blobs)
    assert any(document["weights"] for document in weights)
    assert [blob["ts"] - BEGIN for blob in blobs if blob["ts"] != blob["evaluated_ts"]] == [5 * HOUR_MS - 300_000]


async def test_the_same_candles_give_the_same_bytes(whole, directory):
    assert await replayed(settings(), ReplaySource(directory)) == whole


async def test_the_pace_of_the_hydrator_changes_no_gate_and_no_weight(whole, directory):
    assert await replayed(settings(hotband_processing_interval=300), ReplaySource(directory)) == whole


# in the midst of things: before the first lag is over, between a slot and a boundary, within the exit window, anywhere
MINUTE_STOPS = (15, 30, 121, 127, 292, 296)


async def test_restarts_change_no_gate_and_no_weight(whole, directory):
    stops = [BEGIN + minutes * 60_000 + LAG_MS for minutes in MINUTE_STOPS]
    restarted = without_epochs(await replayed(settings(), ReplaySource(directory), until=[*stops, END]))
    assert restarted == without_epochs(whole)


async def test_over_a_real_server_with_a_restart_the_same_is_published_as_in_memory(whole, directory, raw, valkey_url):
    given = settings(hotband_processing_interval=300)
    async with open_valkey(valkey_url, parts.ages(given)) as store:
        stops = (BEGIN + 20 * 60_000, BEGIN + HOUR_MS)
        messages = without_epochs(await replayed(given, ReplaySource(directory), until=stops, store=store))
        states = [await store.gate_state(pair) for pair in PAIRS]
    expected = {place: one for place, one in without_epochs(whole).items() if one["ts"] < BEGIN + HOUR_MS}
    assert messages == expected
    assert await raw.zcard("bt:rolling:hist:EUR_USD:c0.55:l12:t2:ec60:xc60") == 4
    assert [state.last_slot for state in states if state is not None] == [BEGIN + 3 * EVAL_MS] * len(PAIRS)
