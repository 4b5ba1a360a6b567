"""Metrics with a value per instrument, and their lines in Prometheus' text format.

A client library builds and escapes every line anew at every scrape; with thousands of them that holds the event loop up for longer than
a scrape should take. Here the text before a value is built once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite, isnan
from typing import Literal, NamedTuple


class Described(NamedTuple):
    """What a metric is called, its type, the labels of its samples, and what it means."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Table:
    """A metric with labels; a combination of their values that was never set is absent."""

    def __init__(self, name: str, kind: Literal["gauge", "counter", "untyped"], meaning: str, *labels: str) -> None:
        self.described = Described(name, kind, labels, meaning)
        self._values: dict[tuple[str, ...], float] = {}
        self._prefixes: dict[tuple[str, ...], str] = {}

    def set(self, value: float, *labels: str) -> None:
        """Set the value of a combination of labels."""
        if labels not in self._prefixes:
            self._prefixes[labels] = self._prefix(labels)
        self._values[labels] = float(value)

    def add(self, amount: float, *labels: str) -> None:
        """Add to the value of a combination of labels, 0 before."""
        self.set(self._values.get(labels, 0.0) + amount, *labels)

    def remove(self, *labels: str) -> None:
        """Forget a combination of labels."""
        self._values.pop(labels, None)
        self._prefixes.pop(labels, None)

    def replace(self, values: Mapping[str, float]) -> None:
        """Set the values of a table with one label, and forget all others."""
        for gone in self._values.keys() - {(label,) for label in values}:
            self.remove(*gone)
        for label, value in values.items():
            self.set(value, label)

    def lines(self) -> Iterable[str]:
        """Iterate over the metric's lines, help and type first."""
        name, kind, _, meaning = self.described
        yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
        prefixes = self._prefixes
        for labels, value in self._values.items():
            yield f"{prefixes[labels]}{value!r}\n" if isfinite(value) else f"{prefixes[labels]}{_not_finite(value)}\n"

    def _prefix(self, labels: tuple[str, ...]) -> str:
        pairs = ",".join(
            f'{name}="{_escaped(value)}"' for name, value in zip(self.described.labels, labels, strict=True)
        )
        return f"{self.described.name}{{{pairs}}} "


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _not_finite(value: float) -> str:
    if isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
