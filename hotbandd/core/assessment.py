"""How much of a winner may be luck: what its trials tell about it, in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isnan
from typing import Final, NamedTuple

import numpy as np

from hotbandd.core.candles import DAY_MS, Floats
from hotbandd.core.trial_documents import FoldResult, Luck, TrialRun
from kernels import luck, performance
from kernels.luck import Fold

CONFIDENT: Final = 0.95  # a deflated Sharpe ratio from which on a winner is told from luck, as the paper has it
OVERFIT: Final = 0.5  # from here on, the best in sample does worse than half of the others out of sample
PARTS: Final = (16, 14, 12, 10, 8)
FIT_DAYS: Final = 20
TEST_DAYS: Final = 10


class Tried(NamedTuple):
    """What of the runs of an instrument and spec their assessment needs, in columns: a third of what the runs take on the way to a worker.

    ``sharpes`` float64[trials], ``daily`` float64[days, trials]: without days where the runs do not cover the same ones.
    """

    param_keys: tuple[str, ...]
    sharpes: Floats
    daily: Floats


def tried(runs: Sequence[TrialRun]) -> Tried:
    """Return what an assessment needs of runs."""
    keys = tuple(run.param_key for run in runs)
    return Tried(keys, np.array([run.sharpe for run in runs], dtype=np.float64), _by_day(runs))


def assess(found: Tried, ret: Floats | None, end_ms: int) -> Luck:
    """Assess the winner among all runs of its instrument and spec, itself included.

    ``ret``: its returns trade by trade, None where they are not kept; ``end_ms``: where the days of the runs end.
    """
    trials = len(found.param_keys)
    deflated = None if ret is None else luck.deflated_sharpe(ret, found.sharpes)
    known = None if deflated is None or isnan(deflated) else deflated
    pbo = _overfitting(found.daily)
    folds = _walk_forward(found, end_ms)
    return Luck(
        trials=trials, deflated_sharpe=known, pbo=pbo, walk_forward=folds, words=_words(trials, known, pbo, folds)
    )


def percent(share: float) -> str:
    """Return a share as text, rounded down, so that what falls short of a limit does not read as if it reached it."""
    return f"{floor(share * 1000) / 10:g}%"


def _by_day(runs: Sequence[TrialRun]) -> Floats:
    """Return daily returns, float64[days, trials]; no days where the runs do not cover the same ones."""
    if len({(run.end_ms, len(run.daily)) for run in runs}) != 1:
        return np.empty((0, len(runs)))
    return np.array([run.daily for run in runs]).T


def _overfitting(daily: Floats) -> float | None:
    """Return the probability of overfitting; None for too few trials or days."""
    days, trials = daily.shape if daily.ndim == 2 else (0, 0)
    fitting = [parts for parts in PARTS if days >= 2 * parts]
    if trials < 2 or not fitting:
        return None
    return luck.overfitting(daily, min(fitting, key=lambda parts: (days % parts, -parts))).pbo


def _walk_forward(found: Tried, end_ms: int) -> list[FoldResult]:
    """Fit on some days by the rule of the winner, test on the days after, and roll."""
    days = found.daily.shape[0]
    folds = luck.walk_forward(end_ms - days * DAY_MS, end_ms, FIT_DAYS, TEST_DAYS)
    return [_fold(fold, found, end_ms) for fold in folds]


def _fold(fold: Fold, found: Tried, end_ms: int) -> FoldResult:
    keys, daily = found.param_keys, found.daily
    first, split, last = (len(daily) - (end_ms - moment) // DAY_MS for moment in fold)
    fitted = daily[first:split]
    best = min(range(len(keys)), key=lambda i: (*_merit(fitted[:, i]), keys[i]))
    return FoldResult(
        fit_start=fold.fit_start,
        fit_end=fold.fit_end,
        test_end=fold.test_end,
        param_key=keys[best],
        fit_pnl=float(fitted[:, best].sum()),
        test_pnl=float(daily[split:last, best].sum()),
    )


def _merit(ret: Floats) -> tuple[float, float]:
    total = float(ret.sum())
    return -performance.calmar(total, performance.max_drawdown(ret)), -total


def _words(trials: int, deflated: float | None, pbo: float | None, folds: Sequence[FoldResult]) -> str:
    """Say what the figures mean."""
    said = [f"best of {trials} trials"] if trials > 1 else ["the only trial"]
    if deflated is None:
        said.append("its deflated Sharpe ratio is not known (too few trades)")
    else:
        said.append(f"a Sharpe ratio that beats the luck of so many trials with a probability of {percent(deflated)}")
    if pbo is not None:
        said.append(
            f"{percent(pbo)} of the ways to split the days would have chosen a set that does worse than most afterwards"
        )
    if folds:
        earned = sum(fold.test_pnl > 0 for fold in folds)
        said.append(f"{earned} of {len(folds)} walk-forward tests earned")
    lucky = deflated is None or deflated < CONFIDENT or (pbo is not None and pbo >= OVERFIT)
    verdict = "Indistinguishable from luck" if lucky else "Unlikely to be luck alone"
    return f"{verdict}: {'; '.join(said)}."
