"""Metrics for Prometheus: what the services report, under the names of the contract.

What was never reported is absent, or NaN where a metric has no labels: unknown is not zero.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import chain
from math import nan
from typing import Final, Literal

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from hotbandd.adapters.metric_table import Described, Table
from hotbandd.core.documents import AllocatorStatus, GatesBlob, GateState, Manifold, RollingSummary

DECISION_SPAN: Final = "30"
_FLOORS: Final = ("trades", "calmar", "pnl_total")
_KERNEL_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LOOP_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_OS: Final = (  # the client library's, on Linux; of the daemon's own process, without its workers
    Described("hotband_process_cpu_seconds_total", "counter", (), "Total user and system CPU time spent in seconds."),
    Described("hotband_process_max_fds", "gauge", (), "Maximum number of open file descriptors."),
    Described("hotband_process_open_fds", "gauge", (), "Number of open file descriptors."),
    Described("hotband_process_resident_memory_bytes", "gauge", (), "Resident memory size in bytes."),
    Described(
        "hotband_process_start_time_seconds", "gauge", (), "Start time of the process since unix epoch in seconds."
    ),
    Described("hotband_process_virtual_memory_bytes", "gauge", (), "Virtual memory size in bytes."),
)


def telemetry(now_ms: Callable[[], int]) -> PrometheusTelemetry:
    """Build a telemetry; ages are those of the moment of the scrape, by ``now_ms``."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # half as many series again, which nobody reads
    return PrometheusTelemetry(now_ms)


class PrometheusTelemetry:
    """The Telemetry port as metrics: tables for what there is of each instrument, the client library for the rest."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._registry = CollectorRegistry()
        self._described = list(_OS)
        self._tables: list[Table] = []
        self._market()
        self._decisions()
        self._process()
        ProcessCollector(namespace="hotband", registry=self._registry)
        self._manifold_ts: dict[str, int] = {}
        self._gates_ts: int | None = None
        self._reasons: defaultdict[str, set[str]] = defaultdict(set)
        self._weighted: set[str] = set()

    def _market(self) -> None:
        self._newest = self._table("candle_last_timestamp_seconds", "Close of the newest candle.")
        self._candles = self._table(
            "candles_total", "Candles: stored, or refused by reason.", "outcome", kind="counter"
        )
        self._manifold = self._table("manifold", "Metrics of the newest manifold.", "metric")
        self._manifold_age = self._table("manifold_age_seconds", "Age of the newest manifold.")
        self._sessions = self._table("session_open", "Whether the session is open.")
        self._notifications = self._counter("notifications", "Messages to receivers of HOTBAND_NOTIFY_URLS.", "outcome")
        for outcome in ("sent", "failed"):
            self._notifications.labels(outcome)
        self._requests = self._counter("oanda_requests", "Requests to OANDA.", "outcome")
        self._kernel = self._histogram("kernel_seconds", "Duration of one kernel task.", _KERNEL_BUCKETS)

    def _decisions(self) -> None:
        self._eligible = self._table("gate_eligible", "Whether the published gate is open.")
        self._blocked = self._table("gate_blocked", "Whether a reason closes the gate.", "reason")
        self._buffer = self._table("gate_buffer", "Hysteresis buffer.")
        self._cooldown = self._table("gate_cooldown", "Whether the gate cools down.")
        self._calmar = self._table("backtest_calmar", "Calmar ratio over 30 days.")
        # A sum that also falls. Its name is older than the rule that only counters end in _total; untyped, it breaks none.
        self._pnl = self._table(
            "backtest_pnl_total", "Sum of log returns after cost over 30 days, as it stands.", kind="untyped"
        )
        self._trades = self._table("backtest_trades", "Trades within 30 days.")
        self._floor = self._table("backtest_floor", "Floor in force of a figure over 30 days.", "metric")
        self._weight = self._table("allocator_weight", "Weight in force, share of the book.")
        self._selected = self._table("allocator_selected", "Whether the last slot selected it.")
        self._held = self._gauge("allocator_held", "Whether the allocator holds the previous weights.")
        self._kill = self._gauge("kill_switch_engaged", "Whether the kill switch is engaged.")
        self._integrity = self._gauge("span_integrity_ok", "Whether the slices of every run nest.")
        self._gates_age = self._gauge("gates_blob_age_seconds", "Age of the gates.")
        self._gates_max_age = self._gauge("gates_blob_max_age_seconds", "Age from which on nobody may use the gates.")

    def _process(self) -> None:
        self._success = self._gauge("loop_last_success_timestamp_seconds", "End of the last good step.", "loop")
        self._interval = self._gauge("loop_interval_seconds", "Time from one step to the next.", "loop")
        self._steps = self._histogram("loop_seconds", "Duration of one good step.", _LOOP_BUCKETS, "loop")
        self._failures = self._counter("loop_failures", "Steps that failed, by error.", "loop", "reason")
        self._leader = self._gauge("leader", "Whether this process leads.")
        self._epoch = self._gauge("leader_epoch", "Epoch of the daemon that leads, NaN where none is known to.")
        self._store_up = self._gauge("valkey_up", "Whether Valkey answers.")
        self._lag = self._gauge("event_loop_lag_seconds", "Lag of the event loop, the worst within 15 s.")
        self._behind = self._gauge(
            "clock_behind_seconds",
            "By how much the wall clock is ahead of the daemon's, which meets it again without a jump.",
        )
        self._files = self._counter(
            "file_failures", "What failed for a file: a line of the log, a new start of the embedded Valkey.", "what"
        )
        for what in ("log", "valkey"):  # the first failure is a rise, too
            self._files.labels(what)
        self._fallback = self._gauge("compute_fallback", "Whether this machine computes because Dask does not.")
        self._restarts = self._counter("worker_restarts", "Restarts of the process pool.")
        build = self._gauge("build_info", "Version of hotband and of Python; always 1.", "version", "python")
        build.labels(version("hotband"), platform.python_version()).set(1)

    def _table(
        self, name: str, meaning: str, *labels: str, kind: Literal["gauge", "counter", "untyped"] = "gauge"
    ) -> Table:
        table = Table(f"hotband_{name}", kind, meaning, "instrument", *labels)
        self._tables.append(table)
        self._described.append(table.described)
        return table

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        gauge = Gauge(f"hotband_{name}", meaning, labels, registry=self._registry)
        if not labels:
            gauge.set(nan)
        self._described.append(Described(f"hotband_{name}", "gauge", labels, meaning))
        return gauge

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self._described.append(Described(f"hotband_{name}_total", "counter", labels, meaning))
        return Counter(f"hotband_{name}", meaning, labels, registry=self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        self._described.append(Described(f"hotband_{name}", "histogram", labels, meaning))
        return Histogram(f"hotband_{name}", meaning, labels, registry=self._registry, buckets=buckets)

    def described(self) -> Iterator[Described]:
        """Iterate over all metrics that there can be, by name."""
        return iter(sorted(self._described))

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        now = self._now_ms()
        for instrument, ts in self._manifold_ts.items():
            self._manifold_age.set((now - ts) / 1000, instrument)
        if self._gates_ts is not None:
            self._gates_age.set((now - self._gates_ts) / 1000)
        text = "".join(chain.from_iterable(table.lines() for table in self._tables))
        return generate_latest(self._registry) + text.encode()

    def schedule(self, intervals: Mapping[str, float], gates_max_age: float) -> None:
        """Report the interval of each loop, and how old gates may get; seconds."""
        for loop, seconds in intervals.items():
            self._interval.labels(loop).set(seconds)
        self._gates_max_age.set(gates_max_age)

    def candles(self, instrument: str, outcome: str, count: int) -> None:
        """Count candles by outcome: ``stored``, or the reason of a refusal."""
        self._candles.add(count, instrument, outcome)

    def newest_candle(self, instrument: str, close_ms: int) -> None:
        """Report the close of an instrument's newest candle."""
        self._newest.set(close_ms / 1000, instrument)

    def manifold(self, document: Manifold) -> None:
        """Report the newest manifold."""
        metrics, coeffs = document.metrics, document.coeffs
        values = {
            **msgspec.structs.asdict(metrics),
            "sigma_eff": coeffs.sigma_eff,
            "lambda": coeffs.lambda_,
            "lambda_hazard": coeffs.lambda_hazard,
        }
        for metric, value in values.items():
            if value is None:
                self._manifold.remove(document.instrument, metric)
            else:
                self._manifold.set(value, document.instrument, metric)
        self._manifold_ts[document.instrument] = document.ts

    def kernel(self, seconds: float) -> None:
        """Observe the duration of one kernel task."""
        self._kernel.observe(seconds)

    def evaluated(
        self, blob: GatesBlob, states: Mapping[str, GateState], summaries: Mapping[str, RollingSummary]
    ) -> None:
        """Report a published evaluation; the states add nothing to what the blob publishes."""
        del states
        self._gates_ts = blob.ts
        for instrument, reasons in blob.reasons.items():
            self._block(instrument, reasons)
        self._eligible.replace(blob.gates)
        self._cooldown.replace(blob.cooldowns)
        self._buffer.replace(blob.bufs)
        for instrument, summary in summaries.items():
            self._backtest(instrument, summary)

    def _block(self, instrument: str, reasons: Iterable[str]) -> None:
        """Show the reasons in force as 1, those that were in force before as 0."""
        self._reasons[instrument].update(reasons)
        for reason in self._reasons[instrument]:
            self._blocked.set(reason in reasons, instrument, reason)

    def _backtest(self, instrument: str, summary: RollingSummary) -> None:
        floors = summary.gates
        for figure, floor in zip(_FLOORS, (floors.min_trades, floors.calmar_min, floors.pnl_min), strict=True):
            self._floor.set(floor, instrument, figure)
        span = summary.summary.get(DECISION_SPAN)
        if span is not None:
            self._calmar.set(span.calmar, instrument)
            self._pnl.set(span.pnl_total, instrument)
            self._trades.set(span.trades, instrument)

    def span_integrity(self, *, ok: bool) -> None:
        """Report whether every run's slices nest."""
        self._integrity.set(ok)

    def sessions(self, open_now: Mapping[str, bool]) -> None:
        """Report which instruments' sessions are open."""
        self._sessions.replace(open_now)

    def allocated(self, weights: Mapping[str, float], status: AllocatorStatus) -> None:
        """Report a slot of the allocator with the weights in force; what has none any more weighs 0."""
        self._weighted |= weights.keys() | set(status.selected)
        for instrument in self._weighted:
            self._weight.set(weights.get(instrument, 0.0), instrument)
            self._selected.set(instrument in status.selected, instrument)
        self._held.set(status.held)
        self.kill_switch(engaged=status.kill_switch)

    def kill_switch(self, *, engaged: bool) -> None:
        """Report the kill switch."""
        self._kill.set(engaged)

    def loop_succeeded(self, loop: str, at_ms: int, seconds: float) -> None:
        """Report a step of a loop that ended well."""
        self._success.labels(loop).set(at_ms / 1000)
        self._steps.labels(loop).observe(seconds)

    def loop_failed(self, loop: str, reason: str) -> None:
        """Count a step of a loop that failed, by the name of its error."""
        self._failures.labels(loop, reason).inc()

    def leader(self, *, leading: bool, epoch: int | None) -> None:
        """Report whether this process leads, and the epoch of whoever leads."""
        self._leader.set(leading)
        self._epoch.set(nan if epoch is None else epoch)

    def store_up(self, *, up: bool) -> None:
        """Report whether Valkey answers."""
        self._store_up.set(up)

    def event_loop_lag(self, seconds: float) -> None:
        """Report the lag of the event loop."""
        self._lag.set(seconds)

    def clock_behind(self, seconds: float) -> None:
        """Report by how much the wall clock is ahead of the daemon's."""
        self._behind.set(seconds)

    def file_failed(self, what: Literal["log", "valkey"]) -> None:
        """Count what could not be written."""
        self._files.labels(what).inc()

    def compute(self, *, fallback: bool) -> None:
        """Report whether this machine computes because Dask does not."""
        self._fallback.set(fallback)

    def worker_restarted(self) -> None:
        """Count a restart of the pool."""
        self._restarts.inc()

    def notified(self, outcome: str) -> None:
        """Count a message to one receiver by its outcome: ``sent`` or ``failed``."""
        self._notifications.labels(outcome).inc()

    def source_request(self, outcome: str) -> None:
        """Count a request to the candle source by its outcome."""
        self._requests.labels(outcome).inc()
