"""The surface of a grid: how well its runs did over the two parameters that take the most values."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import NamedTuple

from hotbandd.core.documents import Params
from hotbandd.core.trial_documents import TrialRun


class Surface(NamedTuple):
    """Mean calmar ``z[j][i]`` of the runs whose parameter ``x`` is ``xs[i]`` and ``y`` is ``ys[j]``; NaN where there is none."""

    x: str
    y: str
    xs: tuple[str, ...]
    ys: tuple[str, ...]
    z: tuple[tuple[float, ...], ...]


def surface(runs: Sequence[TrialRun]) -> Surface | None:
    """Return the surface of an instrument's runs; None where fewer than two parameters vary.

    Of parameters that take as many values, the first by name is taken; numbers ascend along an axis, and words follow them.
    """
    taken = {name: {getattr(run.params, name) for run in runs} for name in Params.__struct_fields__}
    varied = sorted((name for name in taken if len(taken[name]) > 1), key=lambda name: (-len(taken[name]), name))
    if len(varied) < 2:
        return None
    x, y = varied[:2]
    cells: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        at = str(getattr(run.params, x)), str(getattr(run.params, y))
        cells.setdefault(at, []).append(run.summary.calmar)
    means = {at: sum(calmars) / len(calmars) for at, calmars in cells.items()}
    xs, ys = (tuple(sorted({str(value) for value in taken[name]}, key=_numeric)) for name in (x, y))
    return Surface(x, y, xs, ys, tuple(tuple(means.get((a, b), nan) for a in xs) for b in ys))


def _numeric(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
