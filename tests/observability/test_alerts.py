"""The alerts: they parse, ask for what there is, are tested in both directions, and lead to the runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.docs.test_documents import anchors
from tests.observability.queries import SCRAPED, amiss, exposed
from tests.tools import tool

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "config" / "prometheus"


def loaded(name: str) -> Any:
    return YAML(typ="safe").load(FOLDER / name)


RULES = [rule for group in loaded("alerts.yml")["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
CASES = loaded("alerts_test.yml")["tests"]


@pytest.mark.parametrize(
    "words",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_promtool_is_content(words: tuple[str, ...]) -> None:
    promtool = tool("promtool", "prometheus")
    done = subprocess.run([promtool, *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_asks_for_series_and_labels_that_there_are() -> None:
    known = exposed() | {rule["record"]: SCRAPED for rule in RULES if "record" in rule}
    assert {
        name: wrong for rule in RULES if (wrong := amiss(rule["expr"], known)) for name in [rule.get("alert")]
    } == {}


def test_every_alert_has_a_severity_words_and_a_section_of_the_runbook() -> None:
    runbook = ROOT / "docs" / "operations.md"
    linked = set()
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, name
        document, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert ROOT / document == runbook, name
        assert anchor in anchors(runbook), name
        linked.add(anchor)
    assert linked == {anchor for anchor in anchors(runbook) if anchor.startswith("alert-")}


def test_every_alert_fires_in_one_case_and_keeps_silent_in_another() -> None:
    checks = [check for case in CASES for check in case.get("alert_rule_test", ())]
    firing = {check["alertname"] for check in checks if check["exp_alerts"]}
    silent = {check["alertname"] for check in checks if not check["exp_alerts"]}
    assert firing == ALERTS.keys()
    assert silent == ALERTS.keys()


def test_the_weekend_covers_every_alert_s_series() -> None:
    known = exposed()
    (weekend,) = [case for case in CASES if "a week's end" in case["name"]]
    given = {line["series"].partition("{")[0] for line in weekend["input_series"]}
    used = {name for rule in RULES for name in re.findall(r"\b(?:hotband_\w+|up\b)", rule["expr"]) if name in known}
    assert used <= given
