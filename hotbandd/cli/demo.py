"""``hotbandd demo``: the daemon over an embedded Valkey and a simulated market, with a clock that runs fast."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import anyio
from rich.console import Group
from rich.live import Live
from rich.text import Text

from hotbandd import daemon
from hotbandd.adapters import log
from hotbandd.adapters.clock import SteadyClock
from hotbandd.adapters.simulator import DEFAULT_SEED, DEMO_START_MS, SimulatedSource
from hotbandd.cli import common, tables
from hotbandd.core import words
from hotbandd.core.documents import ClockAnchor
from hotbandd.errors import HotbandError, UsageError
from hotbandd.settings import TABLE, Settings, load

REFRESH_SEC = 0.5
TABLE_SEC = 20.0
EVENTS = 8
# Shorter than live, so that two minutes show something: at 60 simulated seconds a second an evaluation every 5 s.
SHORT = {"EVAL_INTERVAL_SEC": "300", "ALLOC_INTERVAL_SEC": "300", "COOLDOWN_SEC": "1800", "LEASE_TTL_SEC": "5"}


def demo(*, seconds: float | None, speed: float, seed: int | None, http: str) -> None:
    """Run the demo until its time is over or Ctrl-C."""
    log.configure("error", "auto", interactive=sys.stderr.isatty())
    try:
        TABLE["http"].kind.parse(http)
    except ValueError as error:
        raise UsageError(f"--http must be {TABLE['http'].accepts}: {error}.") from error
    with tempfile.TemporaryDirectory(prefix="hotband-demo-") as home:
        given = {"HOTBAND_SOURCE": "simulated", "HOTBAND_HTTP": http, **SHORT}
        # As a file, so that other commands that are given this home follow the same rules.
        text = "".join(f"{name}={value}\n" for name, value in given.items())
        Path(home, ".env.hotband").write_text(text)
        settings = load({"HOTBAND_HOME": home}, text).settings
        common.run(lambda: _demo(settings, seconds=seconds, speed=speed, seed=seed))


async def _demo(settings: Settings, *, seconds: float | None, speed: float, seed: int | None) -> None:
    clock = SteadyClock(speed=speed, anchor_virtual=DEMO_START_MS)
    source = SimulatedSource(DEFAULT_SEED if seed is None else seed)
    anchor = ClockAnchor(anchor_wall=clock.anchor_wall, anchor_virtual=clock.anchor_virtual, speed=speed)

    async def watch(running: daemon.Running) -> None:
        with anyio.move_on_after(seconds):
            await _watch(running, source)

    await daemon.run(daemon.Plan(settings, clock, source=source, announce=anchor, engaged=False, ready=watch))


async def _watch(running: daemon.Running, source: SimulatedSource) -> None:
    """Show what is published: a live table on a terminal; elsewhere each event, and the table now and then."""
    console = common.console()
    show = _Show(running, source)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                await show.look()
                live.update(show.frame(), refresh=True)
                await anyio.sleep(REFRESH_SEC)
    console.print(f"Pages: {running.address}/")
    console.print(f"Look closer: {show.closer}", soft_wrap=True)
    printed, told = time.monotonic(), 0
    while True:
        await show.look()
        for event in show.events[told:]:
            console.print(event, soft_wrap=True)
        told = len(show.events)
        if time.monotonic() - printed > TABLE_SEC:
            console.print(show.frame())
            printed = time.monotonic()
        await anyio.sleep(REFRESH_SEC)


class _Show:
    """What was seen so far: the newest picture, and the events that led to it."""

    def __init__(self, running: daemon.Running, source: SimulatedSource) -> None:
        self.events: list[str] = []
        self._running = running
        self._source = source
        self._began = time.monotonic()
        self._firsts: set[str] = set()
        self._gates: dict[str, int] = {}
        self._seen: tables.Picture | None = None

    @property
    def closer(self) -> str:
        """Return a command that tells more of one instrument."""
        settings = self._running.plan.settings
        return f"HOTBAND_HOME={settings.home} hotbandd explain {settings.pairs[0]}"

    async def look(self) -> None:
        """Take the newest picture; while the store is away, keep the last one."""
        clock = self._running.plan.clock
        pairs = self._running.plan.settings.pairs
        try:
            self._seen = seen = await tables.picture(self._running.store, pairs, clock.now())
        except HotbandError as error:
            self._note(str(error))
            return
        self._first("manifold", any(seen.manifolds.values()))
        self._first("blob of gates", seen.blob is not None)
        self._first("weights document", seen.weights is not None)
        self._first("weight above 0", seen.weights is not None and any(seen.weights.weights.values()))
        if seen.blob is not None:
            for pair, flag in seen.blob.gates.items():
                if flag != self._gates.get(pair, 0):
                    reasons = ", ".join(words.gate(code, brief=True) for code in seen.blob.reasons[pair])
                    why = "" if flag else f": {reasons}"
                    self._note(f"{tables.clock_text(seen.blob.ts)}  {pair} {'opened' if flag else 'closed'}{why}")
                self._gates[pair] = flag

    def frame(self) -> Group:
        """Return the whole screen."""
        seen = self._seen
        if seen is None:
            return Group(Text("Waiting for the embedded Valkey."))
        head = f"{tables.clock_text(seen.now)} UTC, simulated, {self._running.plan.clock.speed:g} x as fast"
        regimes = {pair: str(self._source.describe(pair, seen.now)) for pair in seen.manifolds}
        return Group(
            Text.from_markup(f"[bold]hotband demo[/bold]  {head}  {self._running.address}/  Ctrl-C ends it"),
            Text.from_markup(tables.headline(seen)),
            tables.gates_table(seen, regimes),
            Text(f"Look closer from another terminal: {self.closer}", style="dim", overflow="fold"),
            *([] if self._running.desk.context.market.loaded.is_set() else [self._filling()]),
            Text("\n".join(self.events[-EVENTS:]), style="dim"),
        )

    def _filling(self) -> Text:
        days = self._running.plan.settings.candle_retention_days
        return Text(f"Filling in {days} days of history; gates are judged once it is there.", style="italic")

    def _first(self, what: str, there: bool) -> None:
        if there and what not in self._firsts:
            self._firsts.add(what)
            self._note(f"First {what} after {time.monotonic() - self._began:.1f} s.")

    def _note(self, event: str) -> None:
        if not self.events or self.events[-1] != event:
            self.events.append(event)
