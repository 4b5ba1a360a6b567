"""What the services ask of the outside, one protocol per kind of system.

Every implementation of a port passes the contract suite of that port in ``tests/adapters``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

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

P = ParamSpec("P")
T = TypeVar("T")


class Page(NamedTuple):
    """One page of candles: complete ones, checked and ascending, and the refused ones counted by reason."""

    candles: Candles
    refused: Mapping[str, int]


class CandleSource(Protocol):
    """Where candles come from."""

    name: str

    def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Iterate over pages of the complete candles that open in [start, end), ascending.

        Raises SourceUnreachableError after its bounded retries, RefusedError where asking again cannot help.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class Broker(Protocol):
    """The account that is traded, as the broker words it.

    Raises SourceUnreachableError after its bounded retries, RefusedError where asking again cannot help.
    """

    async def account(self) -> dict[str, Any]:
        """Return the account's summary."""
        ...

    async def open_trades(self) -> dict[str, Any]:
        """Return the open trades."""
        ...


class Clock(Protocol):
    """The time that decisions see; every age is judged by it."""

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""
        ...

    def now(self) -> int:
        """Return the moment, UTC epoch ms. Never goes backwards, whatever the wall clock does."""
        ...

    async def sleep_until(self, moment_ms: int, *, rank: int = 0) -> None:
        """Wait until the clock shows a moment; a virtual clock wakes those of one moment in the order of their ranks."""
        ...


class Compute(Protocol):
    """Where kernels run, away from the event loop."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a module-level pure function; a killed worker costs one retry, a second one raises ComputeError."""
        ...

    async def aclose(self) -> None:
        """Stop the workers."""
        ...


class Outcome(StrEnum):
    """What became of a publication."""

    PUBLISHED = "published"
    DUPLICATE = "duplicate"
    FENCED = "fenced"


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
    """

    blob: GatesBlob
    states: Mapping[str, GateState]
    summaries: Mapping[str, RollingSummary]
    points: Mapping[tuple[str, str], EvaluationPoint]


class Ages(NamedTuple):
    """Expiries and retentions of what the store keeps, from the settings."""

    candles_days: int
    signal_days: int
    gates_blob_sec: int
    alloc_interval_sec: int


class Store(Protocol):
    """The shared state. The only one that knows key names; every publication is one atomic, fenced step.

    Raises StoreUnreachableError where the server does not answer in time, CorruptPayloadError where a value does not meet its schema.
    """

    async def ping(self) -> None:
        """Check that the server answers."""
        ...

    async def put_candles(self, instrument: str, granularity: str, candles: Candles) -> None:
        """Store candles, one per minute:

        a re-sent one replaces the stored one. Idempotent; trims to ``candles_days`` before the newest.
        """
        ...

    async def candles(self, instrument: str, granularity: str, start_ms: int, end_ms: int) -> Page:
        """Return the stored candles that open in [start, end);

        corrupt members are refused as ``corrupt``, and counted.
        """
        ...

    async def publish_manifold(self, lease: Lease, update: ManifoldUpdate) -> Outcome:
        """Publish a manifold: key, history, signals and message; only over an older one."""
        ...

    async def put_manifold_history(self, lease: Lease, instrument: str, points: Sequence[ManifoldPoint]) -> Outcome:
        """Write history points again (at start), idempotently."""
        ...

    async def manifold(self, instrument: str) -> Manifold | None:
        """Return the newest manifold."""
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

    async def acquire_lease(self, holder: str, ttl_ms: int) -> Lease | None:
        """Take the lease if it is free, with the next epoch; None while another holds it."""
        ...

    async def renew_lease(self, lease: Lease, ttl_ms: int) -> bool:
        """Prolong the lease; False where it is lost."""
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


class Telemetry(Protocol):
    """What the services report for Prometheus."""

    def candles(self, instrument: str, outcome: str, count: int) -> None:
        """Count candles by outcome: ``stored``, or the reason of a refusal."""
        ...

    def newest_candle(self, instrument: str, close_ms: int) -> None:
        """Report the close of an instrument's newest candle."""
        ...

    def manifold(self, document: Manifold) -> None:
        """Report the newest manifold."""
        ...

    def kernel(self, seconds: float) -> None:
        """Observe the duration of one kernel task."""
        ...

    def evaluated(
        self, blob: GatesBlob, states: Mapping[str, GateState], summaries: Mapping[str, RollingSummary]
    ) -> None:
        """Report a published evaluation."""
        ...

    def span_integrity(self, *, ok: bool) -> None:
        """Report whether every run's slices nest."""
        ...

    def sessions(self, open_now: Mapping[str, bool]) -> None:
        """Report which instruments' sessions are open."""
        ...

    def allocated(self, weights: Mapping[str, float], status: AllocatorStatus) -> None:
        """Report a slot of the allocator with the weights in force."""
        ...

    def kill_switch(self, *, engaged: bool) -> None:
        """Report the kill switch."""
        ...

    def loop_succeeded(self, loop: str, at_ms: int, seconds: float) -> None:
        """Report a step of a loop that ended well."""
        ...

    def loop_failed(self, loop: str, reason: str) -> None:
        """Count a step of a loop that failed, by the name of its error."""
        ...

    def leader(self, *, leading: bool) -> None:
        """Report whether this process leads."""
        ...

    def store_up(self, *, up: bool) -> None:
        """Report whether Valkey answers."""
        ...

    def event_loop_lag(self, seconds: float) -> None:
        """Report the lag of the event loop."""
        ...

    def worker_restarted(self) -> None:
        """Count a restart of the pool."""
        ...

    def source_request(self, outcome: str) -> None:
        """Count a request to the candle source by its outcome."""
        ...
