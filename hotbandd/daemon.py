"""The composition root: builds the adapters, starts the services, and ends them."""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from hotbandd import parts
from hotbandd.adapters import http, memory, metrics, strategies
from hotbandd.adapters.clock import WallClock
from hotbandd.adapters.compute import InlineCompute, ProcessCompute
from hotbandd.adapters.dask_compute import DaskCompute
from hotbandd.adapters.embedded_valkey import embedded
from hotbandd.adapters.live_params import FileParams
from hotbandd.adapters.log import on_failure as on_log_failure
from hotbandd.adapters.notifications import AppriseNotices
from hotbandd.adapters.oanda import OandaSource
from hotbandd.adapters.pid_file import pid_file
from hotbandd.adapters.replay import ReplaySource
from hotbandd.adapters.simulator import SimulatedSource
from hotbandd.adapters.store.opening import open_valkey
from hotbandd.core.documents import ClockAnchor
from hotbandd.desk import Desk, Outside, desk
from hotbandd.errors import SettingsError
from hotbandd.ports import CandleSource, Clock, Compute, ServiceManager, Store, Telemetry
from hotbandd.services import watch
from hotbandd.services.charts import Charts
from hotbandd.services.fallback import Fallback
from hotbandd.services.fetch import Fetch
from hotbandd.services.leader import Leader
from hotbandd.services.loop import Loop, LoopRunner
from hotbandd.services.notifier import Notifier
from hotbandd.services.page import Pages
from hotbandd.services.picture import Shown
from hotbandd.services.supervisor import supervise
from hotbandd.services.view import Secured, View
from hotbandd.settings import DASK, Settings

__all__ = ["Desk", "Outside", "Plan", "Running", "candle_source", "desk", "outside", "run"]

log = structlog.get_logger()

LOADED_SEC = 5.0


@dataclass
class Plan:
    """How a daemon is to run: its settings and clock, and what differs from a plain run."""

    settings: Settings
    clock: Clock = field(default_factory=WallClock)
    source: CandleSource | None = None
    announce: ClockAnchor | None = None  # told to readers where the clock is not the real one
    engaged: bool = True  # the kill switch of an empty server
    reread: Callable[[], Settings] | None = None  # the settings anew, on SIGHUP
    manager: ServiceManager | None = None  # who started the process and watches over it
    ready: Callable[[Running], Awaitable[None]] | None = None  # runs beside the daemon, and ends it by returning


@dataclass(frozen=True)
class Running:
    """A running daemon, for who watches it from inside the process."""

    plan: Plan
    desk: Desk
    store: Store
    address: str


async def run(plan: Plan) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; both end it well. Raises HotbandError where it cannot go on."""
    memory.keep_large_apart()
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(anyio.create_task_group())
        desk_box: list[Desk] = []
        await group.start(_signals, group, plan, desk_box)
        home = Path(plan.settings.home)
        stack.enter_context(pid_file(home))
        async with outside(plan.settings, plan.clock, source=plan.source) as (ports, telemetry):
            engaged = await ports.store.init_kill_switch(engaged=plan.engaged)
            telemetry.kill_switch(engaged=engaged)
            if engaged:
                log.warning("kill_switch.engaged", release="hotbandd kill release")
            built = desk(plan.settings, ports)
            gc.freeze()  # what lives as long as the process need not be looked at again, and again
            async with anyio.create_task_group() as tasks:
                address = await _start(tasks, plan, built, ports, telemetry)
                desk_box.append(built)
                if plan.ready is not None:
                    await plan.ready(Running(plan, built, ports.store, address))
                    tasks.cancel_scope.cancel()
        group.cancel_scope.cancel()


@asynccontextmanager
async def outside(
    settings: Settings, clock: Clock, *, source: CandleSource | None = None
) -> AsyncIterator[tuple[Outside, metrics.PrometheusTelemetry]]:
    """Open the outside systems of a daemon."""
    telemetry = metrics.telemetry(clock.now)
    on_log_failure(partial(telemetry.file_failed, "log"))
    async with AsyncExitStack() as stack:
        url = settings.valkey_url
        if url is None:
            url = await stack.enter_async_context(
                embedded(Path(settings.home), partial(telemetry.file_failed, "valkey"))
            )
        store = await stack.enter_async_context(open_valkey(url, parts.ages(settings), speed=clock.speed))
        await store.ping()
        chosen = source or candle_source(settings, telemetry)
        stack.push_async_callback(chosen.aclose)
        compute = compute_of(settings, telemetry)
        stack.push_async_callback(compute.aclose)
        live_params = FileParams(Path(settings.home), strategies.rules())
        yield Outside(store, chosen, compute, clock, telemetry, live_params, memory.give_back), telemetry


def compute_of(settings: Settings, telemetry: Telemetry | None = None) -> Compute:
    """Build where kernels run; for loops, which have a telemetry, with a pool of this machine to fall back on. Raises SettingsError."""
    worker_bytes = settings.worker_memory_mb * 1e6
    if settings.compute == "inline":
        return InlineCompute()
    remote = None
    if settings.compute.startswith(DASK):
        place = settings.compute.removeprefix(DASK).removeprefix("//")
        remote = DaskCompute(place, workers=settings.workers, worker_bytes=worker_bytes, patience=telemetry is None)
        if telemetry is None:
            return remote
    restarted = telemetry.worker_restarted if telemetry else _nobody
    local = ProcessCompute(settings.workers, on_restart=restarted, worker_bytes=worker_bytes)
    return Fallback(remote, local, telemetry) if remote and telemetry else local


def _nobody() -> None:
    """Take no notice."""


def candle_source(settings: Settings, telemetry: Telemetry) -> CandleSource:
    """Build the source that the settings name. Raises SettingsError."""
    name, directory = settings.candle_source
    if name == "oanda":
        if settings.oanda_api_key is None:
            raise SettingsError("HOTBAND_SOURCE=oanda needs OANDA_API_KEY or OANDA_API_KEY_FILE.")
        return OandaSource(
            settings.oanda_api_key.reveal(),
            settings.oanda_environment,
            account_id=settings.oanda_account_id,
            on_request=telemetry.source_request,
        )
    if name == "simulated":
        return SimulatedSource()
    folder = Path(directory or ".")
    if not folder.is_dir():
        raise SettingsError(
            f"HOTBAND_SOURCE=replay:{folder} names no folder; name one with a candle file per instrument."
        )
    return ReplaySource(folder)


async def _start(
    tasks: TaskGroup, plan: Plan, built: Desk, ports: Outside, telemetry: metrics.PrometheusTelemetry
) -> str:
    """Start every root task, by name; return the address of the pages."""
    settings, health = plan.settings, built.health
    built.tell_schedule(settings)
    holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"  # two containers may share the first two
    leader = Leader(built.context.leadership, ports.store, telemetry, health, holder, settings.lease_ttl_sec)
    runner = LoopRunner(ports.clock, telemetry, health, built.context.leadership)

    async def loop(one: Loop) -> None:
        if one is not built.hydrator:
            await _loaded(built, one.name)
        await runner.run(one)

    roots: dict[str, Callable[[], Awaitable[None]]] = {
        "leader": leader.run,
        "hydrator": lambda: loop(built.hydrator),
        "evaluator": lambda: loop(built.evaluator),
        "allocator": lambda: loop(built.allocator),
        "lag": lambda: watch.gauge_lag(telemetry, health),
    }
    if isinstance(ports.compute, Fallback):
        fallback = ports.compute
        roots["compute"] = lambda: fallback.watch(health)
    if plan.announce is not None:
        anchor = plan.announce
        roots["anchor"] = lambda: watch.announce_clock(ports.store, health, anchor)
    if isinstance(plan.clock, WallClock):
        # Not supervised: what it raises ends the process.
        tasks.start_soon(watch.gauge_clock, plan.clock, telemetry, health, name="clock")
    for name in roots:
        health.waiting(name, 0.0)  # to be heard of from the start on
    pages = Pages(Shown(built.context, built.evaluator, built.allocator, health, ports.source.name))
    view = _view(plan, built, ports.source, telemetry, pages)
    if plan.manager is not None:
        manager = plan.manager
        roots["report"] = lambda: watch.report(manager, health, view.line)
    if settings.notify_urls:
        notices = AppriseNotices(settings.notify_urls)
        notifier = Notifier(built.context, notices, parts.notifier(settings), view.troubles)
        tasks.start_soon(notifier.run, name="notifier")  # not supervised: whoever cannot be told, the daemon goes on
    bound = await tasks.start(http.serve, http.application(view), *settings.http_address)
    tasks.start_soon(pages.run, name="page")
    for name, root in roots.items():
        tasks.start_soon(supervise, name, root, telemetry, health, name=name)
    log.info("daemon.started", http=bound, source=ports.source.name, pairs=settings.pairs)
    return str(bound)


def _view(plan: Plan, built: Desk, source: CandleSource, telemetry: metrics.PrometheusTelemetry, pages: Pages) -> View:
    settings = plan.settings
    return View(
        built.context,
        built.health,
        telemetry.exposition,
        shown=settings.shown(),
        secured=Secured(
            settings.http_token,
            source if isinstance(source, OandaSource) else None,
            Fetch(built.context, source, built.intake),
        ),
        pages=pages,
        charts=Charts(built.context, built.evaluator, settings.candle_retention_days),
    )


async def _signals(group: TaskGroup, plan: Plan, box: list[Desk], *, task_status: TaskStatus[None]) -> None:
    """End the daemon on SIGTERM and SIGINT, have it read its settings again on SIGHUP."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            if number != signal.SIGHUP:
                log.info("daemon.stopping", signal=signal.Signals(number).name)
                if plan.manager is not None:
                    plan.manager.stopping()
                group.cancel_scope.cancel()
                return
            if box and plan.reread is not None:
                if plan.manager is not None:
                    plan.manager.reloading()
                said = box[0].reload(plan.settings, plan.reread)
                if plan.manager is not None:
                    plan.manager.ready(said)


async def _loaded(built: Desk, name: str) -> None:
    """Wait until the history is there: a decision on half of it would be another one."""
    while not built.context.market.loaded.is_set():
        built.health.waiting(name, LOADED_SEC)
        with anyio.move_on_after(LOADED_SEC):
            await built.context.market.loaded.wait()
