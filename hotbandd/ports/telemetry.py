"""What the services report for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from hotbandd.core.documents import AllocatorStatus, GatesBlob, GateState, Manifold, RollingSummary


class Telemetry(Protocol):
    """What the services report for Prometheus."""

    def schedule(self, intervals: Mapping[str, float], gates_max_age: float) -> None:
        """Report the interval of each loop, and how old gates may get; seconds."""
        ...

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

    def leader(self, *, leading: bool, epoch: int | None) -> None:
        """Report whether this process leads, and the epoch of whoever leads; None where that is not known."""
        ...

    def store_up(self, *, up: bool) -> None:
        """Report whether Valkey answers."""
        ...

    def event_loop_lag(self, seconds: float) -> None:
        """Report the lag of the event loop."""
        ...

    def clock_behind(self, seconds: float) -> None:
        """Report by how much the wall clock is ahead of the daemon's."""
        ...

    def file_failed(self, what: Literal["log", "valkey"]) -> None:
        """Count what could not be written: a line of the log, or the files of the embedded server."""
        ...

    def compute(self, *, fallback: bool) -> None:
        """Report whether this machine computes because Dask does not."""
        ...

    def worker_restarted(self) -> None:
        """Count a restart of the pool."""
        ...

    def notified(self, outcome: str) -> None:
        """Count a message to one receiver by its outcome: ``sent`` or ``failed``."""
        ...

    def source_request(self, outcome: str) -> None:
        """Count a request to the candle source by its outcome."""
        ...
