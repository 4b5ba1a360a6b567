"""One seed: a market, a server, daemons, what befalls them, and a calm end at which everything must be right again."""

from __future__ import annotations

import contextvars
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import structlog

from hotbandd.core import spans
from hotbandd.services import leader, loop
from hotbandd.settings import Settings, load
from tests.simulation import ending
from tests.simulation.daemons import Compute, Daemon, LiveParams, holder
from tests.simulation.market import Market, Source
from tests.simulation.mishaps import MISHAPS
from tests.simulation.observer import Observer
from tests.simulation.rules import DAY
from tests.simulation.server import Server
from tests.simulation.virtual_loop import VirtualLoop, virtual_time

SHORT_DAY_MS = DAY // 5  # a day of a back-test, where a seed is to be fast: its 30 days are six then
CALM_SEC = 5 * 3600
CALM_DAYS = 0.15  # of the undisturbed run that the end is compared with
PER_DAY, AT_LEAST = 4.0, 24.0  # mishaps a day, and in all of a short run
PAIRS = ("EUR_USD", "GBP_USD", "USD_JPY", "AUD_USD", "USD_CHF", "NZD_USD")
# Wednesdays; before each lie weekends, and before some a change of clocks, or Christmas and New Year.
ENDS = tuple(
    datetime(*day, 15, 5, tzinfo=UTC)
    for day in ((2024, 4, 10), (2024, 6, 19), (2024, 11, 13), (2025, 1, 8), (2025, 3, 19), (2025, 4, 9), (2025, 8, 20))
)


@dataclass(frozen=True)
class Report:
    """What became of a seed."""

    seed: int
    days: float
    failures: list[str]
    counts: dict[str, int]
    digest: str

    def again(self) -> str:
        """Return the line that runs it again."""
        return f"python -m tests.simulation --seed {self.seed} --days {self.days:g}"


class World:
    """All that there is in one run."""

    def __init__(self, seed: int, days: float, like: World | None = None) -> None:
        """Draw a world; ``like`` another one at its end, where nothing goes wrong."""
        draw = self.draw = random.Random(f"world {seed}")
        self.seed, self.days = seed, days
        self.fast = draw.random() < 0.97
        self.kept_days = 7 if self.fast else 31
        end = draw.choice(ENDS)
        self.end = int(end.timestamp()) * 1000
        self.begin = int((end - timedelta(days=days)).timestamp()) * 1000
        self.like = like
        self.loop: VirtualLoop
        if like is None:
            pairs = tuple(draw.sample(PAIRS, draw.choice([2, 3, 3])))
            hot_days = random.Random(f"packed {seed}").choice([2, self.kept_days])  # older days are packed, or none is
            self.settings = settings(pairs, hot_days, self.kept_days, fast=self.fast, draw=draw)
            first = self.begin - (self.kept_days + 2) * DAY
            self.market, self.live_params = Market(self.settings.pairs, first, self.end + DAY, seed), LiveParams()
        else:
            self.settings, self.market, self.live_params = like.settings, like.market, like.live_params
        self.source = Source(self.market, self.now, random.Random(f"source {seed}"))
        self.compute = Compute()
        self.observer = Observer(self)
        self.server = Server(self.now, self.observer, random.Random(f"server {seed}"))
        self.snapshots: list[dict[str, Any]] = []
        self.daemons: list[Daemon] = []
        self.outside: contextvars.Context
        self.damaged = False  # whether candles were lost that no daemon can know of before it starts anew
        self.over: anyio.Event
        self.shown: dict[str, Any] = {}  # at the end, what depends on the candles alone
        self._started = 0

    def now(self) -> int:
        """Return the true time, UTC epoch ms."""
        return self.begin + round(self.loop.time() * 1000)

    # ---- what mishaps use

    def later(self, seconds: float, what: Callable[[], Any]) -> None:
        """Have something happen later."""
        self.loop.call_later(seconds, what, context=self.outside)

    def any_daemon(self, draw: random.Random) -> Daemon | None:
        """Return one of the daemons that live."""
        alive = [daemon for daemon in self.daemons if daemon.alive]
        return draw.choice(alive) if alive else None

    def start_rival(self, draw: random.Random) -> None:
        """Start one more daemon, whose clock may be wrong; before long one of the two goes."""
        if len([daemon for daemon in self.daemons if daemon.alive]) > 1:
            return
        skew = draw.choice([0, 0, draw.randrange(-4000, 4000), draw.randrange(-600_000, 600_000)])
        self._tasks.start_soon(self._run, Daemon(self, self._name(), skew_ms=skew))
        self.later(draw.uniform(30, 1500), lambda: self._one_goes(draw))

    def _one_goes(self, draw: random.Random) -> None:
        alive = [daemon for daemon in self.daemons if daemon.alive]
        skewed = [daemon for daemon in alive if daemon.skew_ms]
        if len(alive) > 1:
            gone = skewed[0] if skewed and draw.random() < 0.9 else draw.choice(alive)
            gone.kill() if draw.random() < 0.5 or gone.stopped else gone.terminate()

    def reload(self, changed: Settings) -> None:
        """Change the settings, and have every daemon read them."""
        self.settings = changed
        for daemon in self.daemons:
            daemon.reconfigure(changed)

    def mend_parameters(self) -> None:
        """Mend the file of live parameters."""
        self.live_params.broken = False

    def operator_deletes(self, key: str) -> None:
        """Delete a key, as the message of its error says."""
        self.server.inner._values.pop(key, None)
        self.observer.restarted(self.server)

    def touched(self, key: str) -> None:
        """Note that stored candles were damaged."""
        self.damaged = self.damaged or "md:candles:" in key

    # ---- the run

    async def run(self) -> None:
        """Run it all."""
        self.loop = anyio.lowlevel.current_token().native_token  # type: ignore[attr-defined]
        self.over = anyio.Event()
        self.outside = contextvars.copy_context()
        self.server.inner._keep("ops:kill_switch", b"0", None)
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._keep_one_running)
            async with anyio.create_task_group() as plot:
                plot.start_soon(self._plot)
                await self.over.wait()
                plot.cancel_scope.cancel()
            self._tasks.cancel_scope.cancel()
            for daemon in self.daemons:
                if daemon.stopped:
                    daemon.kill()

    async def _plot(self) -> None:
        if self.like is None:
            await self._trouble()
            await self._heal()
            await self._end_well()
        else:
            await anyio.sleep(self.days * 86_400)
        self.shown = ending.shown(self)
        self.over.set()

    async def _keep_one_running(self) -> None:
        """Start a daemon whenever there is none."""
        while True:
            if not any(daemon.alive for daemon in self.daemons):
                self._tasks.start_soon(self._run, Daemon(self, self._name()))
                await anyio.sleep(1)
            with anyio.move_on_after(900):
                await self.daemons[-1].ended.wait()
            await anyio.sleep(self.draw.uniform(2, 90))
            self._watch_loops()

    async def _run(self, daemon: Daemon) -> None:
        self.daemons = [one for one in self.daemons if one.alive] + [daemon]
        await daemon.run()

    def _name(self) -> str:
        self._started += 1
        return holder(self.draw, self._started)

    def _watch_loops(self) -> None:
        """Check that no loop of a daemon that runs is silent."""
        for daemon in self.daemons:
            well = daemon.alive and not daemon.stopped and not daemon.late
            if well and daemon.desk is not None and daemon.desk.health.silent():
                self.observer.fail(f"{daemon.name}: {daemon.desk.health.silent()} fell silent")

    async def _trouble(self) -> None:
        """Let mishaps happen until it is time to calm down."""
        draw = random.Random(f"mishaps {self.seed}")
        await anyio.sleep(draw.uniform(60, 3600))
        until = self.days * 86_400 - CALM_SEC
        last = 0.0
        while (left := until - self.loop.time()) > 0:
            if self.loop.time() - last > 6 * 3600:
                self.snapshots = [*self.snapshots[-1:], self.server.snapshot()]
                last = self.loop.time()
            mishap = draw.choice(MISHAPS)
            mishap(self, draw)
            self.observer.counts[mishap.__name__] += 1
            pause = (
                draw.expovariate(max(PER_DAY, AT_LEAST / self.days) / 86_400)
                if draw.random() < 0.7
                else draw.uniform(1, 600)
            )
            await anyio.sleep(min(left, pause))

    async def _heal(self) -> None:
        """End every fault; the operator mends what only an operator can."""
        self.server.heal()
        self.source.faults = type(self.source.faults)()
        self.compute.failing_until = 0.0
        self.live_params.broken = False
        inner = self.server.inner
        for key in ("hotband:fence:gates", "hotband:fence:weights", "hotband:leader"):
            if key in inner._values and not inner._values[key].rpartition(b":")[2].isdigit():
                self.operator_deletes(key)
        inner._keep("ops:kill_switch", b"0", None)
        for daemon in self.daemons:
            daemon.at_call, daemon.cut_off = None, 0
            if daemon.alive and (daemon.skew_ms or self.damaged or daemon is not self.daemons[-1]):
                daemon.kill()
            elif daemon.stopped:
                daemon._go_on()

    async def _end_well(self) -> None:
        """Wait for the last slots, and check what stands there by then."""
        cycle = max(self.settings.eval_interval_sec, self.settings.alloc_interval_sec)
        await anyio.sleep(self.settings.lease_ttl_sec + 2 * cycle + 90)
        ending.check_published(self, "soon after the last fault")
        await anyio.sleep(self.days * 86_400 - self.loop.time())
        ending.check_published(self, "at the end")
        for pair in self.settings.pairs:
            ending.check_candles(self, pair)


def settings(pairs: tuple[str, ...], hot_days: int, kept_days: int, *, fast: bool, draw: random.Random) -> Settings:
    """Return settings of a small desk with gates that open, and long leases."""
    given: dict[str, object] = {
        "HOTBAND_PAIRS": ",".join(pairs),
        "HOTBAND_SOURCE": "simulated",
        "HOTBAND_PROCESSING_INTERVAL": 300,
        "CANDLE_HOT_DAYS": hot_days,
        "CANDLE_RETENTION_DAYS": kept_days,
        "LEASE_TTL_SEC": 300 if fast else 120,
        "ALLOC_TOP_K": draw.choice([1, 2]),
        "ALLOC_MIN_CHANGE": draw.choice([0, 0, 0.01]),
        "RISK_ALLOC_TARGET_PCT": 0.15,
        "COST_BPS_JSON": msgspec.json.encode(dict.fromkeys(pairs, 0)).decode(),
        "EVAL_MIN_TRADES": 2,
        "EVAL_CALMAR_MIN": 0.01,
        "AUTO_MIN_COHERENCE": draw.choice([0.4, 0.55]),
        "SESSION_PATTERN_MIN_OCCURRENCES": 1,
        "SIGNATURE_LEVELS": 2,
    }
    if fast:
        given.update(EVAL_INTERVAL_SEC=3600, ALLOC_INTERVAL_SEC=1800, ALLOC_MAX_HOLD_SEC=7200)
    return load({name: str(value) for name, value in given.items()}, None).settings


@contextmanager
def hastened(*, fast: bool) -> Iterator[None]:
    """Have waiting loops look around less often than every second, which would take most of the time, and shorten back-tests."""
    chosen: dict[tuple[Any, str], float] = {(spans, "DAY_MS"): SHORT_DAY_MS} if fast else {}
    chosen |= {
        (leader, "WATCH_SEC"): 100.0,
        (leader, "ASK_SEC"): 5.0,
        (loop, "STANDBY_SEC"): 20.0,
        (loop, "RETRY_LAST_SEC"): 30.0,
    }
    before = {(module, name): getattr(module, name) for module, name in chosen}
    for (module, name), seconds in chosen.items():
        setattr(module, name, seconds)
    try:
        yield
    finally:
        for (module, name), seconds in before.items():
            setattr(module, name, seconds)


def simulate(seed: int, days: float) -> Report:
    """Run one seed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    random.seed(seed)  # what draws from the common generator, such as the supervisor's jitter
    world = World(seed, days)
    try:
        with virtual_time() as options, hastened(fast=world.fast):
            anyio.run(world.run, backend="asyncio", backend_options=options)
            if not world.observer.failures:
                calm = World(seed, CALM_DAYS, like=world)
                anyio.run(calm.run, backend="asyncio", backend_options=options)
                world.observer.failures += ending.differences(world.shown, calm.shown)
    except BaseExceptionGroup as group:
        if not world.observer.failures:
            raise
        world.observer.failures.append(f"ended by {group!r}")
    except AssertionError:
        if not world.observer.failures:
            raise
    finally:
        structlog.reset_defaults()
    counts = dict(sorted(world.observer.counts.items()))
    return Report(seed, days, world.observer.failures, counts, world.observer.digest.hexdigest()[:16])
