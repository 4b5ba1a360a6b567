from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hotbandd.core import manifold
from hotbandd.core.candles import MINUTE_MS, Candle, Candles, of_columns
from hotbandd.core.series import MetricColumns, Series
from tests.kernels.market import walk

T0 = 1_718_800_200_000


def candles_at(minutes, price=1.1, *, quoted=True):
    t = T0 + np.array(sorted(minutes), dtype=np.int64) * MINUTE_MS
    close = price + 1e-5 * np.arange(len(t))
    quotes = (close - 1e-5, close + 1e-5) if quoted else ()
    return of_columns(t, close, close + 1e-4, close - 1e-4, close, np.full(len(t), 9.0), *quotes)


class AgainstADictionary(RuleBasedStateMachine):
    """A series beside a dictionary of minutes: the same candles, and every view handed out stays as it was."""

    @initialize()
    def begin(self) -> None:
        self.series = Series(unpacked=100)
        self.naive: dict[int, Candle] = {}
        self.measured: dict[int, float] = {}
        self.views: list[tuple[Candles, list[list[float]]]] = []
        self.marks = 0.0

    @rule(gap=st.integers(1, 20), size=st.integers(1, 1500), price=st.sampled_from([1.1, 1.2]))
    def append(self, gap: int, size: int, price: float) -> None:
        first = (max(self.naive, default=T0) - T0) // MINUTE_MS + gap
        self.add(candles_at(range(first, first + size), price))

    @rule(
        minutes=st.sets(st.integers(-30, 3000), min_size=1, max_size=30),
        price=st.sampled_from([1.1, 1.2]),
        quoted=st.booleans(),
    )
    def replace_or_insert(self, minutes: set[int], price: float, quoted: bool) -> None:
        self.add(candles_at(minutes, price, quoted=quoted))

    @rule(minutes=st.integers(0, 400))
    def forget(self, minutes: int) -> None:
        before = min(self.naive, default=T0) + minutes * MINUTE_MS
        self.series.trim(before)
        self.naive = {t: row for t, row in self.naive.items() if t >= before}
        self.measured = {t: mark for t, mark in self.measured.items() if t >= before}

    @rule(share=st.floats(0, 1))
    def measure(self, share: float) -> None:
        rows = round(share * (self.series.size - self.series.measured))
        self.marks += 1.0
        self.measured |= dict.fromkeys(sorted(self.naive)[len(self.measured) : len(self.measured) + rows], self.marks)
        self.series.fill(MetricColumns(*(np.full(rows, self.marks) for _ in MetricColumns._fields)))

    @rule()
    def pack(self) -> None:
        while self.series.pack():
            pass
        self.series.tighten()

    @rule()
    def hand_out_a_view(self) -> None:
        view = self.series.candles
        self.views.append((view, [column.tolist() for column in view]))

    def add(self, new: Candles) -> None:
        rows = {row.t: row for row in new.rows()}
        expected = [t for t, row in rows.items() if self.naive.get(t) != row]
        assert self.series.add(new).t.tolist() == expected
        self.naive |= rows
        first = min(expected, default=None)
        if first is not None:
            self.measured = {t: mark for t, mark in self.measured.items() if t < first}

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "series"):
            return
        assert list(self.series.candles.rows()) == [self.naive[t] for t in sorted(self.naive)]
        assert self.series.size == len(self.naive)
        assert self.series.newest == max(self.naive, default=-1)
        assert self.series.measured == len(self.measured)
        marks = self.series.metrics.hazard.tolist()
        assert marks[: len(self.measured)] == list(self.measured.values())
        assert np.isnan(marks[len(self.measured) :]).all()
        for view, was in self.views:
            assert all(np.array_equal(now, then, equal_nan=True) for now, then in zip(view, was, strict=True))


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@given(st.sets(st.integers(0, 200), max_size=60), st.integers(-3, 203), st.integers(1, 90))
def test_closed_and_recent_candles_are_as_a_loop_would_choose(minutes, at, back):
    series = Series()
    series.add(candles_at(minutes))
    series.fill(MetricColumns(*(np.where(np.arange(len(minutes)) % 3, 0.5, np.nan) for _ in MetricColumns._fields)))
    moment = T0 + at * MINUTE_MS
    closes = [int(t) + MINUTE_MS for t in series.candles.t]
    known = [close for i, close in enumerate(closes) if i % 3 and close <= moment]
    candles, metrics = series.until(moment)
    assert candles.size == metrics.size == series.closed_by(moment) == sum(close <= moment for close in closes)
    stamps, recent = series.recent(moment, back)
    assert stamps.tolist() == [close for close in known if close > moment - back * MINUTE_MS]
    assert np.isfinite(recent.hazard).all()
    assert series.measured_by(moment) == (known[-1] if known else None)


changes = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 300)),
        st.tuples(st.just("late"), st.integers(0, 700)),
        st.tuples(st.just("correct"), st.integers(0, 700)),
        st.tuples(st.just("history"), st.integers(1, 200)),
        st.tuples(st.just("measure"), st.just(0)),
    ),
    max_size=10,
)


def measure(series, family):
    manifold.measure_series(series, family)


@pytest.mark.parametrize("family", ["calibrated", "native"])
@given(changes)
@settings(deadline=None, max_examples=25)
def test_whatever_came_in_whatever_order_the_metrics_are_those_of_the_whole(family, changes):
    bars = walk(5, 4000)
    whole = of_columns(
        T0 + MINUTE_MS * np.arange(4000, dtype=np.int64), bars.close, bars.high, bars.low, bars.close, bars.volume
    )
    series, first, last = Series(), 2000, 2200
    series.add(whole.take(np.array([i for i in range(first, last) if i % 9])))
    for kind, number in changes:
        if kind == "append":
            series.add(whole.take(slice(last, last + number)))
            last += number
        elif kind == "history":
            series.add(whole.take(slice(max(0, first - number), first)))
            first = max(0, first - number)
        elif kind == "measure":
            measure(series, family)
        else:
            at = min(first + number, last - 1)
            one = whole.take(np.array([at]))
            series.add(one._replace(close=one.open * 1.0001, high=one.high * 1.001) if kind == "correct" else one)
    measure(series, family)
    fresh = Series()
    fresh.add(series.candles)
    measure(fresh, family)
    assert series.measured == series.size
    assert all(ours.tobytes() == theirs.tobytes() for ours, theirs in zip(series.metrics, fresh.metrics, strict=True))
