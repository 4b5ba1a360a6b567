"""Metrics, as Prometheus reads them."""

from __future__ import annotations

import math

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hotbandd.adapters.metrics import telemetry
from hotbandd.ports import Telemetry
from tests.adapters.store_samples import PAIR, SPAN, START, blob, manifold, status, summary

CONTRACT = {
    "candle_last_timestamp_seconds",
    "candles_total",
    "manifold",
    "manifold_age_seconds",
    "kernel_seconds_bucket",
    "loop_last_success_timestamp_seconds",
    "loop_seconds_bucket",
    "loop_failures_total",
    "gate_eligible",
    "gate_blocked",
    "gate_buffer",
    "gate_cooldown",
    "backtest_calmar",
    "backtest_pnl_total",
    "backtest_trades",
    "backtest_floor",
    "span_integrity_ok",
    "gates_blob_age_seconds",
    "gates_blob_max_age_seconds",
    "loop_interval_seconds",
    "allocator_weight",
    "allocator_held",
    "allocator_selected",
    "kill_switch_engaged",
    "session_open",
    "leader",
    "valkey_up",
    "oanda_requests_total",
    "event_loop_lag_seconds",
    "clock_behind_seconds",
    "worker_restarts_total",
    "build_info",
}


class Scrape:
    """A telemetry, a clock, and what Prometheus sees of them."""

    def __init__(self) -> None:
        self.now = START
        self.telemetry = telemetry(lambda: self.now)

    def samples(self) -> dict[tuple[str, ...], float]:
        text = self.telemetry.exposition().decode()
        families = list(text_string_to_metric_families(text))
        assert all(family.name.startswith("hotband_") and family.documentation for family in families)
        return {
            (sample.name.removeprefix("hotband_"), *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def report_everything(to: Telemetry) -> None:
    to.schedule({"evaluator": 900.0}, 1800.0)
    to.candles(PAIR, "stored", 3)
    to.newest_candle(PAIR, START)
    to.manifold(manifold())
    to.kernel(0.02)
    to.evaluated(
        msgspec.structs.replace(blob(), gates={PAIR: 0}, reasons={PAIR: ["cooldown"]}),
        {},
        {PAIR: msgspec.structs.replace(summary(), summary={"30": SPAN})},
    )
    to.span_integrity(ok=True)
    to.sessions({PAIR: True})
    to.allocated({PAIR: 0.1}, status())
    to.kill_switch(engaged=False)
    to.loop_succeeded("evaluator", START, 0.5)
    to.loop_failed("hydrator", "SourceUnreachableError")
    to.leader(leading=True, epoch=7)
    to.store_up(up=True)
    to.event_loop_lag(0.001)
    to.clock_behind(0.0)
    to.compute(fallback=True)
    to.worker_restarted()
    to.file_failed("log")
    to.source_request("ok")


def test_every_metric_of_the_contract_is_there_once_reported(scrape: Scrape) -> None:
    report_everything(scrape.telemetry)
    samples = scrape.samples()
    assert {name for name, *_ in samples} >= CONTRACT
    assert not any(math.isnan(value) for value in samples.values())


def test_what_was_never_reported_is_not_zero(scrape: Scrape) -> None:
    for (name, *_), value in scrape.samples().items():
        if name in CONTRACT - {"worker_restarts_total", "kernel_seconds_bucket", "build_info"}:
            assert math.isnan(value), name


def test_values_are_those_reported_in_base_units(scrape: Scrape) -> None:
    report_everything(scrape.telemetry)
    samples = scrape.samples()
    expected = {
        ("candle_last_timestamp_seconds", PAIR): START / 1000,
        ("candles_total", PAIR, "stored"): 3,
        ("manifold", PAIR, "coherence"): 0.5,
        ("manifold", PAIR, "lambda"): 0.1,
        ("manifold", PAIR, "sigma_eff"): 1e-4,
        ("gate_eligible", PAIR): 0,
        ("gate_blocked", PAIR, "cooldown"): 1,
        ("gate_buffer", PAIR): 0.1,
        ("gate_cooldown", PAIR): 0,
        ("backtest_calmar", PAIR): 2.0,
        ("backtest_pnl_total", PAIR): 0.02,
        ("backtest_trades", PAIR): 12,
        ("backtest_floor", PAIR, "trades"): 8,
        ("backtest_floor", PAIR, "calmar"): 0.1,
        ("backtest_floor", PAIR, "pnl_total"): 0,
        ("span_integrity_ok",): 1,
        ("allocator_weight", PAIR): 0.1,
        ("allocator_selected", PAIR): 1,
        ("allocator_held",): 0,
        ("kill_switch_engaged",): 0,
        ("session_open", PAIR): 1,
        ("loop_last_success_timestamp_seconds", "evaluator"): START / 1000,
        ("loop_interval_seconds", "evaluator"): 900,
        ("gates_blob_max_age_seconds",): 1800,
        ("loop_failures_total", "hydrator", "SourceUnreachableError"): 1,
        ("leader",): 1,
        ("valkey_up",): 1,
        ("compute_fallback",): 1,
        ("worker_restarts_total",): 1,
        ("file_failures_total", "log"): 1,
        ("oanda_requests_total", "ok"): 1,
        ("kernel_seconds_count",): 1,
        ("loop_seconds_sum", "evaluator"): 0.5,
    }
    assert {key: samples.get(key) for key in expected} == expected


def test_ages_are_those_of_the_moment_of_the_scrape(scrape: Scrape) -> None:
    report_everything(scrape.telemetry)
    scrape.now = START + 90_000
    assert scrape.samples()["manifold_age_seconds", PAIR] == 90
    assert scrape.samples()["gates_blob_age_seconds",] == 90
    scrape.now += 1500
    assert scrape.samples()["gates_blob_age_seconds",] == 91.5


def test_a_reason_that_is_gone_reads_zero(scrape: Scrape) -> None:
    report_everything(scrape.telemetry)
    scrape.telemetry.evaluated(blob(), {}, {})
    samples = scrape.samples()
    assert samples["gate_blocked", PAIR, "cooldown"] == 0
    assert samples["gate_eligible", PAIR] == 1


def test_an_instrument_that_is_not_followed_any_more_has_no_gate(scrape: Scrape) -> None:
    report_everything(scrape.telemetry)
    other = msgspec.structs.replace(
        blob(), gates={"USD_JPY": 1}, cooldowns={"USD_JPY": 0}, bufs={"USD_JPY": 0.1}, reasons={"USD_JPY": []}
    )
    scrape.telemetry.evaluated(other, {}, {})
    samples = scrape.samples()
    assert ("gate_eligible", PAIR) not in samples
    assert samples["gate_eligible", "USD_JPY"] == 1


def test_a_weight_that_was_taken_away_reads_zero(scrape: Scrape) -> None:
    report_everything(scrape.telemetry)
    scrape.telemetry.allocated({}, msgspec.structs.replace(status(), selected=[], held=True, kill_switch=True))
    samples = scrape.samples()
    assert samples["allocator_weight", PAIR] == 0
    assert samples["allocator_selected", PAIR] == 0
    assert samples["allocator_held",] == 1
    assert samples["kill_switch_engaged",] == 1


def test_a_summary_without_the_span_of_the_decision_reports_no_backtest(scrape: Scrape) -> None:
    scrape.telemetry.evaluated(blob(), {}, {PAIR: summary()})
    assert ("backtest_trades", PAIR) not in scrape.samples()


def test_two_telemetries_share_nothing() -> None:
    one, other = telemetry(lambda: 0), Scrape()
    one.leader(leading=True, epoch=7)
    assert math.isnan(other.samples()["leader",])


def test_texture_is_shown_while_it_is_known(scrape: Scrape) -> None:
    known = manifold()
    textured = msgspec.structs.replace(known, metrics=msgspec.structs.replace(known.metrics, domain_wall_ratio=0.25))
    scrape.telemetry.manifold(textured)
    assert scrape.samples()["manifold", PAIR, "domain_wall_ratio"] == 0.25
    scrape.telemetry.manifold(known)
    assert ("manifold", PAIR, "domain_wall_ratio") not in scrape.samples()
