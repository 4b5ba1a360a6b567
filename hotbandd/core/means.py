"""Parameter sets over all instruments: means of their figures and days, taken in instrument by instrument, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Final, NamedTuple

import msgspec
import numpy as np

from hotbandd.core.candles import Floats
from hotbandd.core.documents import Params, SpanSummary
from hotbandd.core.spans import MIN_COVERAGE
from hotbandd.core.trial_documents import TrialRun
from hotbandd.core.winners import newest_first
from kernels.luck import sharpe

_FIGURES: Final = SpanSummary.__struct_fields__
_WHOLE: Final = {"trades", "max_losing_streak"}
_CALMAR: Final = _FIGURES.index("calmar")
_PNL: Final = _FIGURES.index("pnl_total")
_PARTS: Final = 3  # of a sum


class GlobalWinner(NamedTuple):
    """A parameter set that did best on average, over the instruments named, in alphabetical order.

    ``mean_pnl`` is in log return after cost; ``param_key`` is the one of the first instrument.
    """

    param_key: str
    params: Params
    mean_calmar: float
    mean_pnl: float
    instruments: tuple[str, ...]


class Means:
    """The parameter sets that ran on every instrument so far, and the sums of their figures and days over these.

    It holds as much as one instrument's runs are, however many instruments there are: a set that one of them lacks is
    let go. A sum is kept as three numbers, which add up to it exactly unless its terms are some 150 bits apart; so a
    mean is that of the exact sum, rounded once and divided.
    """

    def __init__(self) -> None:
        self._instruments: list[str] = []
        # by the encoded parameters, the run on the first instrument, without its days
        self._sets: dict[bytes, TrialRun] = {}
        self._covered = np.empty(0, dtype=np.bool_)
        self._days = np.empty(0, dtype=np.int64)  # so many last ones each set has on every instrument
        self._sums: list[Floats] = []  # parts, float64[sets, figures and days]

    def add(self, runs: Sequence[TrialRun]) -> None:
        """Take in the runs of one more instrument, in alphabetical order; without runs nothing changes.

        Where a set ran twice on it, the newest run counts. Raises ValueError where the instrument does not follow the one before.
        """
        if not runs:
            return
        name = runs[0].instrument
        if self._instruments and name <= self._instruments[-1]:
            raise ValueError(f"{name} does not follow {self._instruments[-1]}")
        ran = _by_set(runs)
        if self._instruments:
            self._keep(ran)
        else:
            self._begin(ran)
        self._instruments.append(name)
        mine = [ran[encoded] for encoded in self._sets]
        self._covered &= np.array([run.summary.coverage >= MIN_COVERAGE for run in mine], dtype=np.bool_)
        self._days = np.minimum(self._days, np.array([len(run.daily) for run in mine], dtype=np.int64))
        self._sums = _added(self._sums, _table(mine, self._sums[0].shape[1] - len(_FIGURES)))

    def winner(self) -> GlobalWinner | None:
        """Return the parameter set with the highest mean calmar among those that ran on every instrument, at a mean pnl above 0.

        Runs over too few candles to judge by do not count. Ties go to the higher mean pnl, then to the smaller
        ``param_key``. None where no set qualifies.
        """
        count, instruments = len(self._instruments), tuple(self._instruments)
        found = [
            (GlobalWinner(run.param_key, run.params, self._sum(row, _CALMAR) / count, mean_pnl, instruments), encoded)
            for row, (encoded, run) in enumerate(self._sets.items())
            if self._covered[row] and (mean_pnl := self._sum(row, _PNL) / count) > 0
        ]
        best = min(found, key=_merit, default=None)
        return None if best is None else best[0]

    def runs(self) -> list[TrialRun]:
        """Return a run for each parameter set that ran on every instrument, with the means of its figures and days over them.

        Each instrument counts alike; whole numbers are rounded. The days are the last ones that the set has on every
        instrument; ``sharpe`` is day by day, not trade by trade, as its returns are. In the order of ``param_key``.
        """
        made = [(run.param_key, encoded, self._mean(row, run)) for row, (encoded, run) in enumerate(self._sets.items())]
        return [run for *_, run in sorted(made, key=lambda each: each[:2])]

    def _begin(self, ran: dict[bytes, TrialRun]) -> None:
        days = max(len(run.daily) for run in ran.values())
        self._sets = {encoded: msgspec.structs.replace(run, daily=[]) for encoded, run in ran.items()}
        self._covered = np.ones(len(ran), dtype=np.bool_)
        self._days = np.full(len(ran), days)
        self._sums = [np.zeros((len(ran), len(_FIGURES) + days))] * _PARTS

    def _keep(self, ran: dict[bytes, TrialRun]) -> None:
        """Let go of sets that did not run."""
        kept = np.array([encoded in ran for encoded in self._sets], dtype=np.bool_)
        if kept.all():
            return
        self._sets = {encoded: run for encoded, run in self._sets.items() if encoded in ran}
        self._covered, self._days = self._covered[kept], self._days[kept]
        self._sums = [part[kept] for part in self._sums]

    def _sum(self, row: int, column: int) -> float:
        return fsum(float(part[row, column]) for part in self._sums)

    def _mean(self, row: int, run: TrialRun) -> TrialRun:
        count = len(self._instruments)
        means = [fsum(parts) / count for parts in zip(*(part[row].tolist() for part in self._sums), strict=True)]
        figures = {
            name: round(mean) if name in _WHOLE else mean
            for name, mean in zip(_FIGURES, means[: len(_FIGURES)], strict=True)
        }
        daily = means[len(means) - int(self._days[row]) :]
        return msgspec.structs.replace(
            run,
            summary=msgspec.convert(figures, SpanSummary),
            daily=daily,
            sharpe=sharpe(np.array(daily, dtype=np.float64)),
        )


def _by_set(runs: Sequence[TrialRun]) -> dict[bytes, TrialRun]:
    """Return the newest run of each parameter set, by the encoded parameters."""
    ran: dict[bytes, TrialRun] = {}
    for run in runs:
        encoded = msgspec.json.encode(run.params)
        other = ran.get(encoded)
        ran[encoded] = run if other is None else min(run, other, key=newest_first)
    return ran


def _table(runs: Sequence[TrialRun], days: int) -> Floats:
    """Return a row for each run: its figures, and its last days, with zeros in the place of those that it lacks."""
    figures = [msgspec.structs.astuple(run.summary) for run in runs]
    daily = [[0.0] * (days - len(run.daily)) + run.daily[max(0, len(run.daily) - days) :] for run in runs]
    return np.hstack(
        (
            np.array(figures, dtype=np.float64).reshape(len(runs), len(_FIGURES)),
            np.array(daily, dtype=np.float64).reshape(len(runs), days),
        )
    )


def _added(sums: Sequence[Floats], terms: Floats) -> list[Floats]:
    """Return sums in parts with terms added: what rounding takes from a part goes into the next one.

    Source: Knuth, The Art of Computer Programming 2, 4.2.2, theorem B.
    """
    parts = []
    for part in sums:
        total = part + terms
        back = total - part
        terms = (part - (total - back)) + (terms - back)
        parts.append(total)
    return parts


def _merit(each: tuple[GlobalWinner, bytes]) -> tuple[float, float, str, bytes]:
    found, encoded = each
    return -found.mean_calmar, -found.mean_pnl, found.param_key, encoded
