"""Arithmetic of half-open intervals: int64[k, 2], each row [start, end), ascending, disjoint, never touching."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hotbandd.core.candles import Ints


def union(rows: Iterable[Ints]) -> Ints:
    """Merge intervals in any order into the fewest; touching ones become one, empty ones none."""
    parts = [np.empty((0, 2), np.int64), *rows]
    joined = np.concatenate(parts)
    joined = joined[joined[:, 1] > joined[:, 0]]
    if not len(joined):
        return joined
    joined = joined[np.argsort(joined[:, 0], kind="stable")]
    reach = np.maximum.accumulate(joined[:, 1])
    first = np.concatenate(([True], joined[1:, 0] > reach[:-1]))
    last = np.concatenate((first[1:], [True]))
    return np.column_stack((joined[first, 0], reach[last]))


def intersection(a: Ints, b: Ints) -> Ints:
    """Return what lies in both of two unions."""
    return _at_depth(2, [a, b], [])


def difference(a: Ints, b: Ints) -> Ints:
    """Return what lies in the first of two unions only."""
    return _at_depth(1, [a], [b])


def clipped(rows: Ints, start: int, end: int) -> Ints:
    """Cut a union to [start, end)."""
    cut = np.clip(touching(rows, start, end), start, end)
    return cut[cut[:, 1] > cut[:, 0]]


def touching(rows: Ints, start: int, end: int) -> Ints:
    """Return the intervals of a union that share a moment with [start, end), whole."""
    first = int(np.searchsorted(rows[:, 1], start, side="right"))
    last = int(np.searchsorted(rows[:, 0], end, side="left"))
    return rows[first : max(first, last)]


def _at_depth(depth: int, added: list[Ints], taken: list[Ints]) -> Ints:
    """Sweep over all ends; keep where the added unions that cover a moment, less the taken ones, count ``depth``."""
    starts = [*(rows[:, 0] for rows in added), *(rows[:, 1] for rows in taken)]
    ends = [*(rows[:, 1] for rows in added), *(rows[:, 0] for rows in taken)]
    moments = np.concatenate([*starts, *ends])
    steps = np.repeat(np.array([1, -1]), [sum(map(len, starts)), sum(map(len, ends))])
    order = np.argsort(moments, kind="stable")
    moments, covered = moments[order], np.cumsum(steps[order])
    inside = np.flatnonzero(covered[:-1] == depth)
    return union([np.column_stack((moments[inside], moments[inside + 1]))])
