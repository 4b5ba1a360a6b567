"""Weights in millionths of the book, so that caps and target hold to the last published digit.

All arithmetic is exact (integers, and fractions of shortest decimals), and every rounding is down. An instrument without a
weight is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor

MICRO = 1_000_000

Micros = dict[str, int]


def micros(share: float) -> int:
    """Return a share of the book in millionths, rounded down from its shortest decimal."""
    return floor(Fraction(str(share)) * MICRO)


def of_weights(weights: Mapping[str, float]) -> Micros:
    """Return published weights in millionths."""
    return _positive({name: micros(weight) for name, weight in weights.items()})


def to_weights(weights: Micros) -> dict[str, float]:
    """Return weights as they are published, by name; each is the float that prints with at most six decimals."""
    return {name: weights[name] / MICRO for name in sorted(weights)}


def apportion(scores: Mapping[str, float], *, target: float, cap: float, redistribute: bool) -> Micros:
    """Share the target out in proportion to the scores, each share capped.

    What the caps cut off is left over, or with ``redistribute`` goes to the uncapped in proportion, up to their caps.
    """
    exact = {name: Fraction(str(value)) for name, value in scores.items() if value > 0}
    left, total, limit = Fraction(micros(target)), sum(exact.values()), micros(cap)
    shares = {}
    for name in sorted(exact, key=exact.__getitem__, reverse=True):
        share = min(Fraction(limit), left * exact[name] / total)
        shares[name] = floor(share)
        if redistribute:  # highest first: once a share stays below the cap, all that follow do
            left, total = left - share, total - exact[name]
    return _positive(shares)


def bounded(weights: Micros, *, target: float, cap: float) -> Micros:
    """Lower weights to the cap, and in proportion where their sum exceeds the target."""
    limit, bound = micros(cap), micros(target)
    capped = {name: min(weight, limit) for name, weight in weights.items()}
    total = sum(capped.values())
    if total > bound:
        capped = {name: weight * bound // total for name, weight in capped.items()}
    return _positive(capped)


def smaller(a: Micros, b: Micros) -> Micros:
    """Return the smaller weight of each instrument."""
    return _positive({name: min(weight, b.get(name, 0)) for name, weight in a.items()})


def moved(a: Micros, b: Micros, least: float) -> bool:
    """Tell whether an instrument enters or leaves, or a weight moves by at least a share of the book."""
    least_micros = Fraction(str(least)) * MICRO
    return a.keys() != b.keys() or any(abs(weight - b[name]) >= least_micros for name, weight in a.items())


def _positive(weights: Micros) -> Micros:
    return {name: weight for name, weight in weights.items() if weight > 0}
