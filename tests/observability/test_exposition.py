"""What Prometheus scrapes: clean by its own tool, the same as the client library would write it, and quick."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hotbandd.adapters.metric_table import Table
from tests.observability.full import reported
from tests.tools import tool


@pytest.mark.parametrize("instruments", [8, 200])
def test_promtool_finds_nothing_amiss(instruments: int) -> None:
    promtool = tool("promtool", "prometheus")
    text = reported(instruments).exposition()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_sample_is_of_a_described_metric_with_its_labels() -> None:
    telemetry = reported(3)
    described = {one.name: one for one in telemetry.described()}
    seen = set()
    for family in text_string_to_metric_families(telemetry.exposition().decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        kind = "untyped" if family.type == "unknown" else family.type
        assert (described[name].kind, described[name].meaning) == (kind, family.documentation)
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(described[name].labels)
        seen.add(name)
    if sys.platform == "linux":  # elsewhere there is no /proc to read the process's own from
        assert seen == described.keys()


@pytest.mark.parametrize("value", [0, 1, True, 0.1, 1e-7, -2.5, 1718800000.123, 1e22, math.inf, -math.inf, math.nan])
def test_a_table_reads_as_the_library_s_gauge_does(value: float) -> None:
    label = 'a "b" \\ c\nd'
    registry = CollectorRegistry()
    Gauge("hotband_x", "Meaning.", ("instrument", "reason"), registry=registry).labels("EUR_USD", label).set(value)
    table = Table("hotband_x", "gauge", "Meaning.", "instrument", "reason")
    table.set(value, "EUR_USD", label)
    theirs, ours = (
        [
            (sample.name, sample.labels, repr(sample.value))
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
        for text in (generate_latest(registry).decode(), "".join(table.lines()))
    )
    assert ours == theirs


def test_a_scrape_of_200_instruments_holds_the_event_loop_up_for_less_than_50_ms() -> None:
    telemetry = reported(200)
    spent = []
    for _ in range(9):
        began = time.process_time()
        telemetry.exposition()
        spent.append(time.process_time() - began)
    assert min(spent) < 0.05
