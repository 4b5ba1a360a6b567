"""How much of a best result is luck: Sharpe ratios of a selected trial, overfitting, and folds that walk forward."""

from __future__ import annotations

import math
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from kernels.types import Floats

_DAY_MS = 86_400_000
_EPS = float(np.finfo(np.float64).eps)
_RESOLUTION = 1e9  # Sharpe ratios of a part that agree to nine decimals are tied: what is left is rounding
_CELLS = 1 << 16  # Sharpe ratios that are worked on at once, so that they stay in the cache

_Choices = NDArray[np.int8]  # one choice of blocks a row


class Overfitting(NamedTuple):
    """How often a selection fails: ``pbo`` in [0, 1], the share of the ``logits``, float64[splits], that are ≤ 0."""

    pbo: float
    logits: Floats
    splits: int


class Fold(NamedTuple):
    """A span to fit on, [fit_start, fit_end), and the span to test on right after it, [fit_end, test_end), in ms."""

    fit_start: int
    fit_end: int
    test_end: int


def sharpe(ret: Floats) -> float:
    """Return mean over sample standard deviation of the returns, float64[n], per observation, not annualised.

    0 for fewer than two returns or where all are the same; NaN where one is. Source: Sharpe (1994), The Sharpe
    Ratio.
    """
    deviation = _deviation(ret)
    return float(ret.mean()) / deviation if deviation else 0.0


def _deviation(ret: Floats) -> float:
    # the mean of equal numbers may miss them by a rounding, which would leave a deviation
    return float(ret.std(ddof=1)) if len(ret) > 1 and np.ptp(ret) != 0.0 else 0.0


def probabilistic_sharpe(ret: Floats, benchmark: float) -> float:
    """Return the probability that the true Sharpe ratio behind the returns, float64[n], lies above a benchmark.

    Φ((SR - SR*) · √(n - 1) / √(1 - γ₃·SR + (γ₄ - 1)/4 · SR²)), with the population's skewness γ₃ and kurtosis γ₄ (3
    for a normal one); ``benchmark`` is per observation, as ``sharpe`` is. NaN where it is unknown: fewer than three
    returns, all the same, or nothing positive under the root. Source: Bailey & López de Prado (2012), The Sharpe
    Ratio Efficient Frontier.
    """
    if len(ret) < 3 or not _deviation(ret):
        return math.nan
    ratio = sharpe(ret)
    z = (ret - ret.mean()) / ret.std()
    square = z * z
    skewness, kurtosis = float((square * z).mean()), float((square * square).mean())
    spread = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio * ratio
    return float(ndtr((ratio - benchmark) * math.sqrt((len(ret) - 1) / spread))) if spread > 0.0 else math.nan


def expected_best_sharpe(variance: float, trials: int) -> float:
    """Return the Sharpe ratio that the best of so many independent trials without skill is expected to show.

    √V · ((1 - γ)·Φ⁻¹(1 - 1/N) + γ·Φ⁻¹(1 - 1/(N·e))), γ the Euler-Mascheroni constant and V the variance of the
    trials' Sharpe ratios, whose unit the result has; 0 for one trial. Raises ValueError for trials < 1 or variance
    < 0.
    Source: Bailey & López de Prado (2014), The Deflated Sharpe Ratio.
    """
    if trials < 1 or variance < 0.0:
        raise ValueError(f"one trial or more and a variance of 0 or more, not {trials} and {variance}")
    if trials == 1:
        return 0.0
    highest = (1.0 - np.euler_gamma) * ndtri(1.0 / trials) + np.euler_gamma * ndtri(1.0 / (trials * math.e))
    return -math.sqrt(variance) * float(highest)


def deflated_sharpe(ret: Floats, sharpes: Floats) -> float:
    """Return the probability that the winner of many trials has a true Sharpe ratio above what luck lets the best show.

    ``ret``, float64[n], are the winner's returns; ``sharpes``, float64[trials], the Sharpe ratios of all trials,
    the winner's among them, each per observation as ``sharpe`` is. One that is NaN counts as a trial but not in the
    variance. NaN where ``probabilistic_sharpe`` is, or where fewer than two of several trials are known. Raises
    ValueError without a trial.
    Source: Bailey & López de Prado (2014), The Deflated Sharpe Ratio.
    """
    known = sharpes[~np.isnan(sharpes)]
    if len(sharpes) > 1 and len(known) < 2:
        return math.nan
    variance = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    return probabilistic_sharpe(ret, expected_best_sharpe(variance, len(sharpes)))


def overfitting(returns: Floats, parts: int = 16) -> Overfitting:
    """Measure how often the best trial in sample is no better than the middle out of sample.

    Combinatorially symmetric cross-validation: ``returns``, float64[t, n], are those of n trials in t equal
    periods, ascending; the oldest t mod ``parts`` are dropped and the others form that many blocks. Each choice of
    half the blocks, in lexicographic order, is a split: the trial with the highest Sharpe ratio in the chosen
    blocks (of several the first) has the rank r, 1 … n, among all trials in the other blocks (tied ones share their
    mean rank), ω = r / (n + 1), and the logit ln(ω / (1 - ω)). A Sharpe ratio is 0 where the deviation is 0 or lost
    in rounding; two are tied where they agree to nine decimals. Time and ``logits`` grow with the number of splits,
    12870 for 16 parts. Raises ValueError where ``parts`` is odd, below 2 or above t, for fewer than two trials, and
    for a return that is not finite.
    Source: Bailey, Borwein, López de Prado & Zhu (2017), The Probability of Backtest Overfitting.
    """
    _check(returns, parts)
    rows = len(returns) // parts
    blocks = returns[len(returns) % parts :].reshape(parts, rows, -1)
    total, square = blocks.sum(axis=1), np.square(blocks).sum(axis=1)
    first, second = _halves(parts)
    logits = np.empty((2, len(first)))
    at_once = max(1, _CELLS // returns.shape[1])
    for i in range(0, len(first), at_once):
        here = slice(i, i + at_once)
        a, b = (_sharpes(total, square, chosen[here], rows) for chosen in (first, second))
        logits[:, here] = _logit(a, b), _logit(b, a)
    found = np.concatenate((logits[0], logits[1, ::-1]))
    return Overfitting(float(np.count_nonzero(found <= 0.0) / len(found)), found, len(found))


def _check(returns: Floats, parts: int) -> None:
    if parts < 2 or parts % 2:
        raise ValueError(f"an even number of parts from 2, not {parts}")
    periods, trials = returns.shape
    if periods < parts or trials < 2:
        raise ValueError(
            f"a period or more for each of {parts} parts and two trials or more, not {periods} and {trials}"
        )
    if not np.isfinite(returns).all():
        raise ValueError("every return is a finite number")


def _halves(parts: int) -> tuple[_Choices, _Choices]:
    """Return the first half of all choices of half the blocks, and what each leaves, int8[splits / 2, parts / 2] both.

    In lexicographic order what a choice leaves is as far from the end as the choice is from the beginning.
    """
    half = parts // 2
    choices = np.fromiter(chain.from_iterable(combinations(range(parts), half)), dtype=np.int8).reshape(-1, half)
    middle = len(choices) // 2
    return choices[:middle], choices[middle:][::-1]


def _sharpes(total: Floats, square: Floats, chosen: _Choices, rows: int) -> Floats:
    """Return the Sharpe ratio of each trial over the chosen blocks, float64[splits, trials], tied ones made equal.

    The unit is 1e-9. The deviation is the population's, which leaves the ranks as they are. Sums run block by
    block, so that equal trials have equal ones.
    """
    size = rows * chosen.shape[1]
    s, q = np.zeros((2, len(chosen), total.shape[1]))
    for block in chosen.T:
        s += total[block]
        q += square[block]
    q *= size
    spread = q - s * s
    # equal returns leave less than this of their sum of squares, however their sums are rounded
    known = spread > 2.0 * size * _EPS * q
    ratio = np.divide(s, np.sqrt(spread, out=spread, where=known), out=np.zeros(s.shape), where=known)
    ratio *= _RESOLUTION
    return np.rint(ratio, out=ratio)


def _logit(inside: Floats, outside: Floats) -> Floats:
    """Return of each split the logit of the rank that the best trial inside has outside, float64[splits]."""
    best = np.take_along_axis(outside, inside.argmax(axis=1)[:, None], axis=1)
    below, tied = np.count_nonzero(outside < best, axis=1), np.count_nonzero(outside == best, axis=1)
    rank = below + (tied + 1) / 2.0
    logit: Floats = np.log(rank / (inside.shape[1] + 1 - rank))
    return logit


def walk_forward(start_ms: int, end_ms: int, fit_days: int = 20, test_days: int = 10) -> list[Fold]:
    """Return folds, ascending, whose tests adjoin and end at ``end_ms``, as many as begin their fit from ``start_ms`` on.

    Times are in ms, days have 24 hours; none where the span is shorter than a fit and a test. Raises ValueError for
    days < 1.
    Source: Pardo (2008), The Evaluation and Optimization of Trading Strategies.
    """
    if fit_days < 1 or test_days < 1:
        raise ValueError(f"a day or more to fit and to test, not {fit_days} and {test_days}")
    fit, test = fit_days * _DAY_MS, test_days * _DAY_MS
    count = (end_ms - start_ms - fit) // test
    ends = (end_ms - i * test for i in reversed(range(count)))
    return [Fold(end - test - fit, end - test, end) for end in ends]
