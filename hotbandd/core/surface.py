"""The surface of a grid: how well its runs did over the two parameters that take the most values."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import NamedTuple

import msgspec

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
    columns = zip(*(msgspec.structs.astuple(run.params) for run in runs), strict=True)
    taken = dict(zip(Params.__struct_fields__, columns, strict=True))
    values = {name: sorted({str(value) for value in set(column)}, key=_numeric) for name, column in taken.items()}
    varied = sorted((name for name in values if len(values[name]) > 1), key=lambda name: (-len(values[name]), name))
    if len(varied) < 2:
        return None
    x, y = varied[:2]
    cells: dict[tuple[str, str], list[float]] = {}
    for a, b, run in zip(taken[x], taken[y], runs, strict=True):
        cells.setdefault((str(a), str(b)), []).append(run.summary.calmar)
    means = {at: sum(calmars) / len(calmars) for at, calmars in cells.items()}
    z = tuple(tuple(means.get((a, b), nan) for a in values[x]) for b in values[y])
    return Surface(x, y, tuple(values[x]), tuple(values[y]), z)


def _numeric(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
