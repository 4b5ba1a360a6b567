"""The shared state of the loops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import NamedTuple, Protocol

from hotbandd.core.candles import Candles
from hotbandd.core.documents import (
    AllocatorStatus,
    ClockAnchor,
    EvaluationPoint,
    GatesBlob,
    GateState,
    Manifold,
    ManifoldPoint,
    RollingSummary,
    Signal,
    Weights,
)
from hotbandd.ports.market import Page


class Outcome(StrEnum):
    """What became of a publication."""

    PUBLISHED = "published"
    DUPLICATE = "duplicate"
    FENCED = "fenced"
    CHANGED = "changed"  # what it was decided on is no more: decide again


class Lease(NamedTuple):
    """The right to publish: who holds it, and its epoch."""

    holder: str
    epoch: int


class ManifoldUpdate(NamedTuple):
    """All that one hydrator step publishes for one instrument, at once: newest document, new points, new signals."""

    document: Manifold
    points: Sequence[ManifoldPoint]
    signals: Sequence[Signal]


class Evaluation(NamedTuple):
    """All that one evaluator slot publishes, at once.

    ``states``, ``summaries`` and ``points`` hold only the instruments that were stepped; ``points`` are keyed by instrument and ``param_key``.
    ``late_sec``: how long after the blob's ``ts`` it is published, by the clock; the blob and its flags live so much shorter.
    """

    blob: GatesBlob
    states: Mapping[str, GateState]
    summaries: Mapping[str, RollingSummary]
    points: Mapping[tuple[str, str], EvaluationPoint]
    late_sec: float = 0.0


class Ages(NamedTuple):
    """Expiries and retentions of what the store keeps, from the settings; candles are packed after ``candles_hot_days``."""

    candles_days: int
    candles_hot_days: int
    signal_days: int
    gates_blob_sec: int
    alloc_interval_sec: int


class Store(Protocol):
    """The shared state. The only one that knows key names; every publication is one atomic, fenced step, in a cluster one per document.

    Raises StoreUnreachableError where the server does not answer in time, CorruptPayloadError where a value does not meet its schema.
    """

    async def ping(self) -> None:
        """Check that the server answers."""
        ...

    async def put_candles(self, instrument: str, granularity: str, candles: Candles) -> None:
        """Store candles, one per minute:

        a re-sent one replaces the stored one. Idempotent. Before the newest, whole days are packed after ``candles_hot_days``,
        and trimmed after ``candles_days``.
        """
        ...

    async def candles(self, instrument: str, granularity: str, start_ms: int, end_ms: int) -> Page:
        """Return the stored candles that open in [start, end);

        what is corrupt is refused as ``corrupt``, and counted: each member, and each packed day.
        """
        ...

    async def candle_count(self, instrument: str, granularity: str, start_ms: int, end_ms: int) -> int:
        """Return how many candles are stored that open in [start, end), whatever they hold: much cheaper than to read them."""
        ...

    async def publish_manifold(self, lease: Lease, update: ManifoldUpdate) -> Outcome:
        """Publish a manifold: key, history, signals and message; only over an older one."""
        ...

    async def put_manifold_history(self, lease: Lease, instrument: str, points: Sequence[ManifoldPoint]) -> Outcome:
        """Write history points, ascending and idempotently, and trim to a day before the newest of them."""
        ...

    async def manifold(self, instrument: str) -> Manifold | None:
        """Return the newest manifold."""
        ...

    def manifolds(self) -> AbstractAsyncContextManager[AsyncIterator[Manifold]]:
        """Receive each manifold as it is published, from the entry on; what is none is left out.

        After a StoreUnreachableError receive anew and read the newest ones again: some may have been missed.
        """
        ...

    async def manifold_history(self, instrument: str, start_ms: int, end_ms: int) -> list[ManifoldPoint]:
        """Return the history points with start < ts <= end, ascending; corrupt members are left out."""
        ...

    async def publish_evaluation(self, lease: Lease, evaluation: Evaluation) -> Outcome:
        """Publish a slot's blob, flags, states, cooldowns, summaries, history and message."""
        ...

    async def gate_state(self, instrument: str) -> GateState | None:
        """Return the state of a gate."""
        ...

    async def evaluation_points(
        self, instrument: str, param_key: str, start_ms: int, end_ms: int
    ) -> list[EvaluationPoint]:
        """Return the kept evaluations with start <= ts < end, ascending; corrupt members are left out."""
        ...

    async def put_evaluation_points(
        self, lease: Lease, instrument: str, param_key: str, points: Sequence[EvaluationPoint]
    ) -> Outcome:
        """Write kept evaluations, idempotently."""
        ...

    async def summary(self, instrument: str) -> RollingSummary | None:
        """Return the last evaluation of an instrument."""
        ...

    async def gates_blob(self) -> GatesBlob | None:
        """Return the newest blob."""
        ...

    async def publish_allocation(self, lease: Lease, weights: Weights | None, status: AllocatorStatus) -> Outcome:
        """Publish a slot's weights (none while holding) and status, and the message of the weights."""
        ...

    async def weights(self) -> Weights | None:
        """Return the published weights."""
        ...

    async def allocator_status(self) -> AllocatorStatus | None:
        """Return the last status of the allocator."""
        ...

    async def kill_switch(self) -> bool | None:
        """Return whether the kill switch is engaged; None while the key is missing (which counts as engaged)."""
        ...

    async def set_kill_switch(self, *, engaged: bool) -> None:
        """Engage or release the kill switch."""
        ...

    async def init_kill_switch(self, *, engaged: bool) -> bool:
        """Set the kill switch only where it is missing; return whether it is engaged now."""
        ...

    async def acquire_lease(self, holder: str, ttl_ms: int, *, above: int = 0) -> Lease | None:
        """Take the lease if it is free, with the next epoch, above one that is known; None while another holds it."""
        ...

    async def renew_lease(self, lease: Lease, ttl_ms: int) -> bool:
        """Prolong the lease; False where it is lost, or the store lost what this process published: take it anew, and give back."""
        ...

    async def give_back(self, lease: Lease, *, repeat: bool) -> list[str]:
        """Publish verbatim what this process published last, as far as the store would still hold it:

        what it lost, and to ``repeat``, after an outage, also what it has. Never over anything later. Returns what it took.
        """
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Give the lease up, if it is still ours."""
        ...

    async def leader(self) -> Lease | None:
        """Return who leads."""
        ...

    async def set_clock(self, anchor: ClockAnchor) -> None:
        """Tell readers that the clock is not the real one; expires after 60 s, renew it."""
        ...

    async def clock(self) -> ClockAnchor | None:
        """Return the anchor of a clock that is not the real one."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
