"""Floors: what an instrument's figures must reach, raised by its own history."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, MutableSequence
from dataclasses import dataclass

from hotbandd.core.documents import EvaluationPoint, Floors

MIN_HISTORY = 96


@dataclass(frozen=True, kw_only=True)
class EnvFloors:
    """The settings' own floors: trades, calmar and summed log return of the 30-day slice."""

    min_trades: float
    calmar_min: float
    pnl_min: float


class History:
    """Evaluations of one instrument and ``param_key``, kept in order so that medians cost nothing while slots come and go.

    In columns: a month of objects per instrument would take five times the memory.
    """

    def __init__(self, points: Iterable[EvaluationPoint] = ()) -> None:
        self._ts = array("q")
        self._figures = _columns()
        self._ordered = _columns()
        for point in points:
            self.add(point)

    def __iter__(self) -> Iterator[EvaluationPoint]:
        for ts, trades, calmar, pnl_total in zip(self._ts, *self._figures, strict=True):
            yield EvaluationPoint(ts=ts, trades=int(trades), calmar=calmar, pnl_total=pnl_total)

    def __len__(self) -> int:
        return len(self._ts)

    def add(self, point: EvaluationPoint) -> None:
        """Take in an evaluation, not older than the others."""
        self._ts.append(point.ts)
        for column, ordered, figure in zip(self._figures, self._ordered, _figures(point), strict=True):
            column.append(figure)
            insort(ordered, figure)

    def between(self, start_ms: int, end_ms: int) -> History:
        """Forget what is older than a moment; return the evaluations before another one."""
        gone = bisect_left(self._ts, start_ms)
        for column, ordered in zip(self._figures, self._ordered, strict=True):
            for figure in column[:gone]:
                del ordered[bisect_left(ordered, figure)]
            del column[:gone]
        del self._ts[:gone]
        if not self._ts or self._ts[-1] < end_ms:
            return self
        return History(point for point in self if point.ts < end_ms)

    def medians(self) -> tuple[float, ...]:
        """Return the medians of trades, calmar and summed return. Raises ValueError without evaluations."""
        if not self._ts:
            raise ValueError("nothing has a median")
        half, odd = divmod(len(self._ts), 2)
        return tuple(ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2 for ordered in self._ordered)


def _columns() -> tuple[MutableSequence[float], MutableSequence[float], MutableSequence[float]]:
    """Return columns of trades, which stay whole numbers of any size, calmar and summed return."""
    return [], array("d"), array("d")


def _figures(point: EvaluationPoint) -> tuple[float, float, float]:
    return point.trades, point.calmar, point.pnl_total


def floors(env: EnvFloors, history: History, share: float) -> Floors:
    """Return the floors in force.

    ``history``: the evaluations over the 30 days before the present one, which is not among them. With at least
    96 of them a floor rises to ``share`` of their median (calmar: half of that); it never falls below the settings' own.
    ``adaptive`` tells whether one of them rose.
    """
    own = (env.min_trades, env.calmar_min, env.pnl_min)
    raised: tuple[float, ...] = own
    if len(history) >= MIN_HISTORY:
        medians = zip(history.medians(), (share, share / 2, share), strict=True)
        raised = tuple(max(floor, median * part) for floor, (median, part) in zip(own, medians, strict=True))
    min_trades, calmar_min, pnl_min = raised
    return Floors(
        min_trades=min_trades,
        calmar_min=calmar_min,
        pnl_min=pnl_min,
        adaptive=raised != own,
        history=len(history),
    )
