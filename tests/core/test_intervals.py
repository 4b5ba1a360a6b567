"""Interval arithmetic against sets of whole numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import intervals

PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def rows(pairs):
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def members(table):
    return {moment for start, end in table.tolist() for moment in range(start, end)}


def is_union(table):
    flat = table.ravel()
    return bool((np.diff(flat) > 0).all())


@given(st.lists(PAIRS, max_size=3))
def test_a_union_holds_what_any_part_holds(parts):
    merged = intervals.union(rows(part) for part in parts)
    assert is_union(merged)
    assert members(merged) == set().union(*(members(rows(part)) for part in parts))


@given(PAIRS, PAIRS)
def test_intersection_and_difference_are_those_of_sets(a, b):
    first, second = intervals.union([rows(a)]), intervals.union([rows(b)])
    both, only = intervals.intersection(first, second), intervals.difference(first, second)
    assert is_union(both)
    assert is_union(only)
    assert members(both) == members(first) & members(second)
    assert members(only) == members(first) - members(second)


@given(PAIRS, st.integers(-5, 45), st.integers(-5, 45))
def test_clipping_cuts_and_touching_does_not(pairs, start, end):
    merged = intervals.union([rows(pairs)])
    asked = set(range(start, end))
    assert members(intervals.clipped(merged, start, end)) == members(merged) & asked
    whole = [row for row in merged.tolist() if set(range(*row)) & asked]
    assert end <= start or intervals.touching(merged, start, end).tolist() == whole
