"""Floors: what an instrument's figures must reach, raised by its own history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hotbandd.core.documents import EvaluationPoint, Floors

MIN_HISTORY = 96


@dataclass(frozen=True, kw_only=True)
class EnvFloors:
    """The settings' own floors: trades, calmar and summed log return of the 30-day slice."""

    min_trades: float
    calmar_min: float
    pnl_min: float


def floors(env: EnvFloors, history: Sequence[EvaluationPoint], share: float) -> Floors:
    """Return the floors in force.

    ``history``: the evaluations of this instrument and ``param_key`` over the 30 days before the present one, which is not among them. With at least
    96 of them a floor rises to ``share`` of their median (calmar: half of that); it never falls below the settings' own.
    ``adaptive`` tells whether one of them rose.
    """
    own = (env.min_trades, env.calmar_min, env.pnl_min)
    raised: tuple[float, ...] = own
    if len(history) >= MIN_HISTORY:
        figures = np.array([(point.trades, point.calmar, point.pnl_total) for point in history])
        shares = np.median(figures, axis=0) * (share, share / 2, share)
        raised = tuple(max(floor, float(value)) for floor, value in zip(own, shares, strict=True))
    min_trades, calmar_min, pnl_min = raised
    return Floors(
        min_trades=min_trades,
        calmar_min=calmar_min,
        pnl_min=pnl_min,
        adaptive=raised != own,
        history=len(history),
    )
