"""The three loops, what they share, and how they take over other settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from hotbandd import parts
from hotbandd.adapters.live_params import FixedParams
from hotbandd.errors import HotbandError
from hotbandd.ports import CandleSource, Clock, Compute, LiveParams, Store, Telemetry
from hotbandd.services.allocator import Allocator
from hotbandd.services.context import Context
from hotbandd.services.evaluator import Evaluator
from hotbandd.services.health import Health
from hotbandd.services.hydrator import Hydrator
from hotbandd.services.intake import Intake
from hotbandd.services.leader import Leadership
from hotbandd.services.loop import Loop
from hotbandd.services.market import Market
from hotbandd.settings import TABLE, Settings

log = structlog.get_logger()

NEED_RESTART = (
    "pairs",
    "home",
    "source",
    "kernel",
    "workers",
    "worker_memory_mb",
    "compute",
    "http",
    "http_token",
    "notify_urls",
    "notify_every_sec",
    "notify_on",
    "valkey_url",
    "lease_ttl_sec",
    "oanda_api_key",
    "oanda_environment",
    "candle_gran",
    "candle_hot_days",
    "candle_retention_days",
    "signal_retention_days",
    "session_windows_json",
    "session_trading_enabled",
    "eval_interval_sec",
    "alloc_interval_sec",
    "gates_blob_max_age_sec",
    "log_level",
    "log_format",
)


@dataclass(frozen=True)
class Outside:
    """The outside systems of one run."""

    store: Store
    source: CandleSource
    compute: Compute
    clock: Clock
    telemetry: Telemetry
    live_params: LiveParams = field(default_factory=FixedParams)
    give_back_memory: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Desk:
    """The three loops and what they share."""

    context: Context
    health: Health
    intake: Intake
    hydrator: Hydrator
    evaluator: Evaluator
    allocator: Allocator

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops, in the order of their ranks."""
        return (self.hydrator, self.evaluator, self.allocator)

    def reload(self, running: Settings, reread: Callable[[], Settings]) -> str:
        """Take over other settings; what is wrong with them is logged, and the old ones stay. Return what happened in a sentence."""
        try:
            settings = reread()
            parts.calendar(settings)
        except HotbandError as error:
            log.error("daemon.reload_refused", error=str(error))
            return f"settings refused, the old ones stay: {error}"
        fixed = [name for name in NEED_RESTART if getattr(settings, name) != getattr(running, name)]
        self.reconfigure(replace(settings, **{name: getattr(running, name) for name in NEED_RESTART}))
        names = [TABLE[name].name for name in fixed]
        log.info("daemon.reloaded", need_restart=names)
        return (
            f"settings read again, except what needs a restart: {', '.join(names)}" if names else "settings read again"
        )

    def reconfigure(self, settings: Settings) -> None:
        """Give the loops the rules of other settings, from their next step on."""
        self.hydrator.rules = parts.hydrator(settings, self.hydrator.rules.source)
        self.evaluator.rules = parts.evaluator(settings)
        self.allocator.rules = parts.allocator(settings)
        self.tell_schedule(settings)

    def tell_schedule(self, settings: Settings) -> None:
        """Report how often the loops step, and how old gates may get."""
        loops = (self.hydrator, self.evaluator, self.allocator)
        intervals = {loop.name: float(loop.rules.interval_sec) for loop in loops}
        self.context.telemetry.schedule(intervals, settings.gates_blob_max_age_sec)


def desk(settings: Settings, outside: Outside) -> Desk:
    """Build the loops. Raises SettingsError."""
    context = Context(
        market=Market(settings.pairs, settings.candle_gran),
        store=outside.store,
        compute=outside.compute,
        clock=outside.clock,
        telemetry=outside.telemetry,
        calendar=parts.calendar(settings),
        leadership=Leadership(),
    )
    intake = Intake(context, outside.source, settings.candle_retention_days)
    evaluator = Evaluator(context, parts.evaluator(settings), outside.live_params)

    async def before_allocation(moment: int) -> None:
        await context.market.settled((await context.leadership.held()).epoch)
        await evaluator.finished(moment)

    return Desk(
        context=context,
        health=Health(),
        intake=intake,
        hydrator=Hydrator(context, intake, parts.hydrator(settings, outside.source.name), outside.give_back_memory),
        evaluator=evaluator,
        allocator=Allocator(context, parts.allocator(settings), first=before_allocation),
    )
