"""Slow, obvious twins of the kernels that weigh luck: exact fractions, one split at a time, as the papers tell it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations
from statistics import NormalDist

NORMAL = NormalDist()
DAY = 86_400_000


def moments(ret: Iterable[float]) -> tuple[Fraction, list[Fraction]]:
    """The mean, and the central moments of order 0 to 4."""
    exact = [Fraction(x) for x in ret]
    mean = sum(exact) / Fraction(len(exact))
    return mean, [sum((x - mean) ** k for x in exact) / Fraction(len(exact)) for k in range(5)]


def sharpe(ret: Sequence[float]) -> float:
    if len(ret) < 2 or len(set(ret)) == 1:
        return 0.0
    mean, central = moments(ret)
    return float(mean) / math.sqrt(central[2] * len(ret) / (len(ret) - 1))


def probabilistic_sharpe(ret: Sequence[float], benchmark: float) -> float:
    if len(ret) < 3 or len(set(ret)) == 1:
        return math.nan
    _, (_, _, m2, m3, m4) = moments(ret)
    skewness, kurtosis = float(m3) / float(m2) ** 1.5, float(m4 / m2**2)
    ratio = sharpe(ret)
    spread = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    return NORMAL.cdf((ratio - benchmark) * math.sqrt(len(ret) - 1) / math.sqrt(spread))


def expected_best_sharpe(variance: float, trials: int) -> float:
    if trials == 1:
        return 0.0
    gamma = 0.577215664901532860606512
    quantile = (1 - gamma) * NORMAL.inv_cdf(1 - 1 / trials) + gamma * NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * quantile


def overfitting(rows: Sequence[Sequence[float]], parts: int) -> tuple[float, list[float], int]:
    rows = rows[len(rows) % parts :]
    size, trials = len(rows) // parts, len(rows[0])
    logits = []
    for chosen in combinations(range(parts), parts // 2):
        inside: list[Sequence[float]] = []
        outside: list[Sequence[float]] = []
        for i, row in enumerate(rows):
            (inside if i // size in chosen else outside).append(row)
        before = [round(sharpe([row[n] for row in inside]), 9) for n in range(trials)]
        after = [round(sharpe([row[n] for row in outside]), 9) for n in range(trials)]
        best = before.index(max(before))
        places = [place for place, x in enumerate(sorted(after), 1) if x == after[best]]
        omega = sum(places) / len(places) / (trials + 1)
        logits.append(0.0 if omega == 0.5 else math.log(omega / (1 - omega)))
    return sum(x <= 0 for x in logits) / len(logits), logits, len(logits)


def walk_forward(start: int, end: int, fit_days: int, test_days: int) -> list[tuple[int, int, int]]:
    folds: list[tuple[int, int, int]] = []
    while end - (fit_days + test_days) * DAY >= start:
        folds.insert(0, (end - (fit_days + test_days) * DAY, end - test_days * DAY, end))
        end -= test_days * DAY
    return folds
