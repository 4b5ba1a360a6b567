"""Floors: what an instrument's figures must reach, raised by its own history."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
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
    """Evaluations of one instrument and ``param_key``, kept in order so that medians cost nothing while slots come and go."""

    def __init__(self, points: Iterable[EvaluationPoint] = ()) -> None:
        self._points: deque[EvaluationPoint] = deque()
        self._ordered: tuple[list[float], list[float], list[float]] = ([], [], [])
        for point in points:
            self.add(point)

    def __iter__(self) -> Iterator[EvaluationPoint]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)

    def add(self, point: EvaluationPoint) -> None:
        """Take in an evaluation, not older than the others."""
        self._points.append(point)
        for ordered, figure in zip(self._ordered, _figures(point), strict=True):
            insort(ordered, figure)

    def between(self, start_ms: int, end_ms: int) -> History:
        """Forget what is older than a moment; return the evaluations before another one."""
        while self._points and self._points[0].ts < start_ms:
            for ordered, figure in zip(self._ordered, _figures(self._points.popleft()), strict=True):
                del ordered[bisect_left(ordered, figure)]
        if not self._points or self._points[-1].ts < end_ms:
            return self
        return History(point for point in self._points if point.ts < end_ms)

    def medians(self) -> tuple[float, ...]:
        """Return the medians of trades, calmar and summed return. Raises ValueError without evaluations."""
        if not self._points:
            raise ValueError("nothing has a median")
        half, odd = divmod(len(self._points), 2)
        return tuple(ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2 for ordered in self._ordered)


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
