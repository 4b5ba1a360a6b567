"""Metrics for Prometheus: what the services report, under the names of the contract.

What was never reported is absent, or NaN where a metric has no labels: unknown is not zero.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from math import nan
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hotbandd.core.documents import AllocatorStatus, GatesBlob, GateState, Manifold, RollingSummary

DECISION_SPAN: Final = "30"
_FLOORS: Final = ("trades", "calmar", "pnl_total")
_KERNEL_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LOOP_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def telemetry(now_ms: Callable[[], int]) -> PrometheusTelemetry:
    """Build a telemetry with a registry of its own."""
    return PrometheusTelemetry(CollectorRegistry(), now_ms)


class PrometheusTelemetry:
    """The Telemetry port as metrics in a registry. Ages are those of the moment of the scrape, by ``now_ms``."""

    def __init__(self, registry: CollectorRegistry, now_ms: Callable[[], int]) -> None:
        self._registry = registry
        self._ages = _Ages(now_ms)
        registry.register(self._ages)
        self._market(registry)
        self._decisions(registry)
        self._process(registry)
        self._reasons: defaultdict[str, set[str]] = defaultdict(set)
        self._weighted: set[str] = set()

    def _market(self, registry: CollectorRegistry) -> None:
        self._newest = _gauge(registry, "candle_last_timestamp_seconds", "Close of the newest candle.", "instrument")
        self._candles = _counter(registry, "candles", "Candles: stored, or refused by reason.", "instrument", "outcome")
        self._manifold = _gauge(registry, "manifold", "Metrics of the newest manifold.", "instrument", "metric")
        self._requests = _counter(registry, "oanda_requests", "Requests to OANDA.", "outcome")
        self._sessions = _PerInstrument(_gauge(registry, "session_open", "Whether the session is open.", "instrument"))
        self._kernel = _histogram(registry, "kernel_seconds", "Duration of one kernel task.", _KERNEL_BUCKETS)

    def _decisions(self, registry: CollectorRegistry) -> None:
        self._eligible = _PerInstrument(
            _gauge(registry, "gate_eligible", "Whether the published gate is open.", "instrument")
        )
        self._blocked = _gauge(registry, "gate_blocked", "Whether a reason closes the gate.", "instrument", "reason")
        self._buffer = _PerInstrument(_gauge(registry, "gate_buffer", "Hysteresis buffer.", "instrument"))
        self._cooldown = _PerInstrument(_gauge(registry, "gate_cooldown", "Whether the gate cools down.", "instrument"))
        self._calmar = _gauge(registry, "backtest_calmar", "Calmar ratio over 30 days.", "instrument")
        self._pnl = _gauge(registry, "backtest_pnl_total", "Sum of log returns after cost over 30 days.", "instrument")
        self._trades = _gauge(registry, "backtest_trades", "Trades within 30 days.", "instrument")
        self._floor = _gauge(
            registry, "backtest_floor", "Floor in force of a figure over 30 days.", "instrument", "metric"
        )
        self._integrity = _gauge(registry, "span_integrity_ok", "Whether the slices of every run nest.")
        self._weight = _gauge(registry, "allocator_weight", "Weight in force, share of the book.", "instrument")
        self._selected = _gauge(registry, "allocator_selected", "Whether the last slot selected it.", "instrument")
        self._held = _gauge(registry, "allocator_held", "Whether the allocator holds the previous weights.")
        self._kill = _gauge(registry, "kill_switch_engaged", "Whether the kill switch is engaged.")

    def _process(self, registry: CollectorRegistry) -> None:
        self._success = _gauge(registry, "loop_last_success_timestamp_seconds", "End of the last good step.", "loop")
        self._steps = _histogram(registry, "loop_seconds", "Duration of one good step.", _LOOP_BUCKETS, "loop")
        self._failures = _counter(registry, "loop_failures", "Steps that failed, by error.", "loop", "reason")
        self._leader = _gauge(registry, "leader", "Whether this process leads.")
        self._epoch = _gauge(registry, "leader_epoch", "Epoch of the daemon that leads, NaN where none is known to.")
        self._store_up = _gauge(registry, "valkey_up", "Whether Valkey answers.")
        self._lag = _gauge(registry, "event_loop_lag_seconds", "Lag of the event loop.")
        self._restarts = _counter(registry, "worker_restarts", "Restarts of the process pool.")
        build = _gauge(registry, "build_info", "Version of hotband and of Python; always 1.", "version", "python")
        build.labels(version("hotband"), platform.python_version()).set(1)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def candles(self, instrument: str, outcome: str, count: int) -> None:
        """Count candles by outcome: ``stored``, or the reason of a refusal."""
        self._candles.labels(instrument, outcome).inc(count)

    def newest_candle(self, instrument: str, close_ms: int) -> None:
        """Report the close of an instrument's newest candle."""
        self._newest.labels(instrument).set(close_ms / 1000)

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
                self._manifold.labels(document.instrument, metric).set(value)
        self._ages.manifolds[document.instrument] = document.ts

    def kernel(self, seconds: float) -> None:
        """Observe the duration of one kernel task."""
        self._kernel.observe(seconds)

    def evaluated(
        self, blob: GatesBlob, states: Mapping[str, GateState], summaries: Mapping[str, RollingSummary]
    ) -> None:
        """Report a published evaluation; the states add nothing to what the blob publishes."""
        del states
        self._ages.gates = blob.ts
        for instrument, reasons in blob.reasons.items():
            self._block(instrument, reasons)
        self._eligible.set_all(blob.gates)
        self._cooldown.set_all(blob.cooldowns)
        self._buffer.set_all(blob.bufs)
        for instrument, summary in summaries.items():
            self._backtest(instrument, summary)

    def _block(self, instrument: str, reasons: Iterable[str]) -> None:
        """Show the reasons in force as 1, those that were in force before as 0."""
        self._reasons[instrument].update(reasons)
        for reason in self._reasons[instrument]:
            self._blocked.labels(instrument, reason).set(reason in reasons)

    def _backtest(self, instrument: str, summary: RollingSummary) -> None:
        floors = summary.gates
        for figure, floor in zip(_FLOORS, (floors.min_trades, floors.calmar_min, floors.pnl_min), strict=True):
            self._floor.labels(instrument, figure).set(floor)
        span = summary.summary.get(DECISION_SPAN)
        if span is not None:
            self._calmar.labels(instrument).set(span.calmar)
            self._pnl.labels(instrument).set(span.pnl_total)
            self._trades.labels(instrument).set(span.trades)

    def span_integrity(self, *, ok: bool) -> None:
        """Report whether every run's slices nest."""
        self._integrity.set(ok)

    def sessions(self, open_now: Mapping[str, bool]) -> None:
        """Report which instruments' sessions are open."""
        self._sessions.set_all(open_now)

    def allocated(self, weights: Mapping[str, float], status: AllocatorStatus) -> None:
        """Report a slot of the allocator with the weights in force; what has none any more weighs 0."""
        self._weighted |= weights.keys() | set(status.selected)
        for instrument in self._weighted:
            self._weight.labels(instrument).set(weights.get(instrument, 0.0))
            self._selected.labels(instrument).set(instrument in status.selected)
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

    def worker_restarted(self) -> None:
        """Count a restart of the pool."""
        self._restarts.inc()

    def source_request(self, outcome: str) -> None:
        """Count a request to the candle source by its outcome."""
        self._requests.labels(outcome).inc()


class _Ages(Collector):
    """Ages of documents, computed when they are asked for."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.manifolds: dict[str, int] = {}
        self.gates: int | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Iterate over the ages of what was reported."""
        now = self._now_ms()
        manifolds = GaugeMetricFamily(
            "hotband_manifold_age_seconds", "Age of the newest manifold.", labels=["instrument"]
        )
        for instrument, ts in self.manifolds.items():
            manifolds.add_metric([instrument], (now - ts) / 1000)
        yield manifolds
        gates = nan if self.gates is None else (now - self.gates) / 1000
        yield GaugeMetricFamily("hotband_gates_blob_age_seconds", "Age of the gates.", value=gates)


def _gauge(registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> Gauge:
    gauge = Gauge(f"hotband_{name}", meaning, labels, registry=registry)
    if not labels:
        gauge.set(nan)
    return gauge


def _counter(registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"hotband_{name}", meaning, labels, registry=registry)


def _histogram(
    registry: CollectorRegistry, name: str, meaning: str, buckets: tuple[float, ...], *labels: str
) -> Histogram:
    return Histogram(f"hotband_{name}", meaning, labels, registry=registry, buckets=buckets)


class _PerInstrument:
    """A gauge with one value per instrument, and none for those that are not among them any more."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._children: dict[str, Gauge] = {}

    def set_all(self, values: Mapping[str, float]) -> None:
        """Set the values of all instruments."""
        for gone in self._children.keys() - values.keys():
            self._gauge.remove(gone)
            del self._children[gone]
        for instrument, value in values.items():
            if instrument not in self._children:
                self._children[instrument] = self._gauge.labels(instrument)
            self._children[instrument].set(value)
