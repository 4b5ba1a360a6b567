"""The dashboard: every query parses and asks for what there is, and no panel covers another."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.observability.queries import amiss, exposed
from tests.tools import tool

DASHBOARD = json.loads((Path(__file__).resolve().parents[2] / "config" / "grafana" / "hotband.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]


def queries() -> Iterator[tuple[str, str]]:
    yield from ((title, target["expr"]) for title, target in TARGETS)
    yield from ((each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"] if "expr" in each)


def test_every_query_asks_for_series_and_labels_that_there_are() -> None:
    known = exposed()
    known["ALERTS"] = known["ALERTS"] | {"instrument", "loop"}
    assert {title: wrong for title, query in queries() if (wrong := amiss(query, known))} == {}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            query, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            assert amiss(query, known) == []
            assert label in known[query.partition("{")[0]]


def test_every_metric_is_shown_somewhere() -> None:
    shown = " ".join(query for _, query in queries()) + " ".join(
        each["definition"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"
    )
    apart = {
        "hotband_gates_blob_max_age_seconds": "a bound, for the alert",
        "hotband_process_start_time_seconds": "of no use beside the rest",
        "hotband_process_virtual_memory_bytes": "of no use beside the rest",
        "up": "",
    }
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed()} - apart.keys()
    assert {name for name in names if not re.search(rf"\b{name}(_bucket)?\b", shown)} == set()


def test_legends_name_labels_that_their_query_keeps() -> None:
    for title, target in TARGETS:
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert (
                re.search(rf"by \([^)]*\b{label}\b", target["expr"])
                or f'"{label}"' in target["expr"]
                or label in {"instance", "loop"}
            ), title


def test_every_query_parses(tmp_path: Path) -> None:
    promtool = tool("promtool", "prometheus")
    rules = []
    for number, (_, query) in enumerate(queries()):
        plain = (
            query.replace("$__rate_interval", "1m")
            .replace("$job", "hotband")
            .replace("$instance", ".+")
            .replace("$instrument", ".+")
        )
        assert "$" not in re.sub(r'"\$1[^"]*"', "", plain)
        rules.append({"record": f"query{number}", "expr": plain})
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))  # JSON is YAML
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_have_titles_and_words_and_do_not_cover_one_another() -> None:
    assert all(panel["title"] and panel["description"].endswith(".") for panel in PANELS)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in itertools.combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
