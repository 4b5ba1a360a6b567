"""What the loops of one process share."""

from __future__ import annotations

from dataclasses import dataclass, field

from hotbandd.core.documents import AllocatorStatus, GatesBlob
from hotbandd.core.sessions import Calendar
from hotbandd.ports import Clock, Compute, Store, Telemetry
from hotbandd.services.leader import Leadership
from hotbandd.services.market import Market


@dataclass
class Latest:
    """What this process published last; None: nothing yet."""

    gates: GatesBlob | None = None
    allocation: AllocatorStatus | None = None


@dataclass(frozen=True)
class Context:
    """The market, the outside systems that more than one loop uses, and the right to publish."""

    market: Market
    store: Store
    compute: Compute
    clock: Clock
    telemetry: Telemetry
    calendar: Calendar
    leadership: Leadership
    latest: Latest = field(default_factory=Latest)
