"""Winners of trials: the best run of an instrument, and the best parameter set over all instruments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import NamedTuple

import msgspec
import numpy as np

from hotbandd.core.documents import Params, SpanSummary
from hotbandd.core.spans import JUDGED_SPAN, MIN_COVERAGE
from hotbandd.core.trial_documents import TrialRun
from kernels.luck import sharpe


class GlobalWinner(NamedTuple):
    """A parameter set that did best on average, over the instruments named, in alphabetical order.

    ``mean_pnl`` is in log return after cost; ``param_key`` is the one of the first instrument.
    """

    param_key: str
    params: Params
    mean_calmar: float
    mean_pnl: float
    instruments: tuple[str, ...]


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


def global_winner(runs: Iterable[TrialRun]) -> GlobalWinner | None:
    """Return the parameter set with the highest mean calmar among those that ran on every instrument, at a mean pnl above 0.

    Runs over too few candles to judge by do not count. Ties go to the higher mean pnl, then to the smaller
    ``param_key``. Where a set ran twice on an instrument, the newest run counts. None where no set qualifies.
    """
    sets = _by_set(runs)
    instruments = set().union(*sets.values())
    complete = [
        (_mean(kept), encoded)
        for encoded, kept in sets.items()
        if len(kept) == len(instruments) and all(run.summary.coverage >= MIN_COVERAGE for run in kept.values())
    ]
    best = min((each for each in complete if each[0].mean_pnl > 0), key=_global_merit, default=None)
    return None if best is None else best[0]


def averaged(runs: Iterable[TrialRun]) -> list[TrialRun]:
    """Return a run for each parameter set that ran on every instrument, with the means of its figures and days over them.

    Its ``sharpe`` is day by day, not trade by trade, as its returns are. Sets are in the order of their ``param_key``.
    """
    sets = _by_set(runs)
    instruments = set().union(*sets.values())
    made = [_average([ran[name] for name in sorted(ran)]) for ran in sets.values() if ran.keys() == instruments]
    return sorted(made, key=lambda run: run.param_key)


def _by_set(runs: Iterable[TrialRun]) -> dict[bytes, dict[str, TrialRun]]:
    """Return the newest run of each parameter set and instrument, by the encoded parameters, then by the instrument."""
    sets: dict[bytes, dict[str, TrialRun]] = {}
    for run in runs:
        ran = sets.setdefault(msgspec.json.encode(run.params), {})
        ran[run.instrument] = min(run, ran.get(run.instrument, run), key=_newest_first)
    return sets


def _average(runs: Sequence[TrialRun]) -> TrialRun:
    days = min(len(run.daily) for run in runs)
    daily = [fsum(values) / len(runs) for values in zip(*(run.daily[-days:] for run in runs if days), strict=True)]
    return msgspec.structs.replace(
        runs[0], summary=mean_summary(runs), daily=daily, sharpe=sharpe(np.array(daily, dtype=np.float64))
    )


def mean_summary(runs: Sequence[TrialRun]) -> SpanSummary:
    """Return the means of runs' figures, each instrument counting alike; whole numbers are rounded. Raises ValueError for no run."""
    if not runs:
        raise ValueError("there is no run to average")
    columns = zip(*(msgspec.structs.astuple(run.summary) for run in runs), strict=True)
    means = [fsum(column) / len(runs) for column in columns]
    names = SpanSummary.__struct_fields__
    whole = {"trades", "max_losing_streak"}
    figures = {name: round(mean) if name in whole else mean for name, mean in zip(names, means, strict=True)}
    return msgspec.convert(figures, SpanSummary)


def _newest_first(run: TrialRun) -> tuple[int, str]:
    return -run.ts, run.run_id


def _merit(run: TrialRun) -> tuple[float, float, str, int, str]:
    return -run.summary.calmar, -run.summary.pnl_total, run.param_key, *_newest_first(run)


def _global_merit(each: tuple[GlobalWinner, bytes]) -> tuple[float, float, str, bytes]:
    found, encoded = each
    return -found.mean_calmar, -found.mean_pnl, found.param_key, encoded


def _mean(by_instrument: Mapping[str, TrialRun]) -> GlobalWinner:
    instruments = tuple(sorted(by_instrument))
    runs = [by_instrument[name] for name in instruments]
    return GlobalWinner(
        param_key=runs[0].param_key,
        params=runs[0].params,
        mean_calmar=fsum(run.summary.calmar for run in runs) / len(runs),
        mean_pnl=fsum(run.summary.pnl_total for run in runs) / len(runs),
        instruments=instruments,
    )
