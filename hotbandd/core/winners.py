"""Winners of trials: the best run of an instrument."""

from __future__ import annotations

from collections.abc import Iterable

from hotbandd.core.documents import SpanSummary
from hotbandd.core.spans import JUDGED_SPAN, MIN_COVERAGE
from hotbandd.core.trial_documents import TrialRun


def figure_days(window_days: int) -> int:
    """Return by how many of its last days a run over some days is judged."""
    return min(JUDGED_SPAN, window_days)


def qualifies(summary: SpanSummary, min_trades: int) -> bool:
    """Tell whether a run may win: candles enough to judge by, trades enough, a profit, and more won than lost."""
    covered = summary.coverage >= MIN_COVERAGE
    return covered and summary.trades >= min_trades and summary.pnl_total > 0 and summary.profit_factor > 1


def ranked(runs: Iterable[TrialRun]) -> list[TrialRun]:
    """Return runs of an instrument in the order of their merit, the best first, whether they qualify or not."""
    return sorted(runs, key=_merit)


def winner(runs: Iterable[TrialRun], min_trades: int = 5) -> TrialRun | None:
    """Return the run with the highest calmar among those of an instrument that qualify; None where none does.

    Ties go to the higher pnl, then to the smaller ``param_key``; of one parameter set's equal runs to the newest.
    """
    return min((run for run in runs if qualifies(run.summary, min_trades)), key=_merit, default=None)


def newest_first(run: TrialRun) -> tuple[int, str]:
    """Return by what runs of one parameter set are ordered, the one that counts first."""
    return -run.ts, run.run_id


def _merit(run: TrialRun) -> tuple[float, float, str, int, str]:
    return -run.summary.calmar, -run.summary.pnl_total, run.param_key, *newest_first(run)
