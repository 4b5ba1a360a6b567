"""PromQL as far as the tests read it: which metrics a query names, and which labels."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hotbandd.adapters.metrics import telemetry

SCRAPED = {"job", "instance"}  # put on every sample by Prometheus
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def exposed() -> dict[str, set[str]]:
    """Return the labels of every series that hotband can expose, by its name, and of Prometheus' own."""
    found = {"up": SCRAPED, "ALERTS": SCRAPED | {"alertname", "alertstate", "severity"}}
    for name, kind, labels, _ in telemetry(lambda: 0).described():
        if kind == "histogram":
            found |= {f"{name}_{part}": SCRAPED | set(labels) for part in ("sum", "count")}
            found[f"{name}_bucket"] = SCRAPED | set(labels) | {"le"}
        else:
            found[name] = SCRAPED | set(labels)
    return found


def series(query: str) -> Iterator[tuple[str, set[str]]]:
    """Iterate over the series of a query: hotband's, recorded ones and Prometheus' own, with the labels that select them."""
    for name, selector in _SELECTOR.findall(re.sub(r'"[^"]*"(?!\s*[,}])', "", _without_grouping(query))):
        if name.startswith(("hotband_", "instance:")) or name in {"up", "ALERTS"}:
            yield name, set(_LABEL.findall(selector))


def grouping(query: str) -> set[str]:
    """Return the labels that a query groups by or matches on."""
    return {label.strip() for labels in _GROUPING.findall(query) for label in labels.split(",") if label.strip()}


def amiss(query: str, known: dict[str, set[str]]) -> list[str]:
    """Say which series or labels of a query there are not."""
    found = list(series(query))
    wrong = [f"no series is called {name}" for name, _ in found if name not in known]
    wrong += [f"{name} has no label {label}" for name, labels in found for label in labels - known.get(name, labels)]
    reachable = set().union(*(known.get(name, set()) for name, _ in found))
    made = set(re.findall(r'label_replace\(.*?, "(\w+)"', query))
    wrong += [f"nothing here has a label {label}" for label in grouping(query) - reachable - made]
    return wrong if found else [f"no series in {query}"]


def _without_grouping(query: str) -> str:
    return _GROUPING.sub("", query)
