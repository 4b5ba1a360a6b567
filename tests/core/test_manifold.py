from __future__ import annotations

import math
import pickle

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotbandd.core import documents, manifold, manifold_documents
from hotbandd.core.candles import MINUTE_MS, concatenate, of_columns
from hotbandd.core.series import MetricColumns, Series, unmeasured
from hotbandd.core.signature import signatures
from kernels import hazard
from tests.kernels import naive
from tests.kernels.market import walk

FAMILIES = ("calibrated", "native")
FORM = manifold_documents.Form(precision=1, levels=4)
ORIGIN = manifold_documents.Origin("test", 3, 7)
BOUNDS = manifold_documents.Bounds(c_min=0.55, s_min=0.40, h_max=0.70, r_max=0.60, hazard_max=1.0)


def candles_of(seed, n, *, t0=0, gaps=()):
    bars = walk(seed, n)
    minutes = np.ones(n, dtype=np.int64)
    for at, missing in gaps:
        minutes[at] += missing
    t = t0 + MINUTE_MS * (np.cumsum(minutes) - 1)
    return of_columns(t, bars.close, bars.high, bars.low, bars.close, bars.volume)


def series_of(candles, family):
    series = Series()
    series.add(candles)
    manifold.measure_series(series, family)
    return series


def newest(series, family, bounds=BOUNDS):
    return manifold_documents.document(series, "EUR_USD", family, bounds, FORM, ORIGIN)


def same(ours, theirs):
    return all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=6), st.integers(0, 300))
@settings(deadline=None, max_examples=25)
def test_a_series_that_grows_measures_as_one_that_came_at_once(family, pieces, start):
    candles = candles_of(1, start + sum(pieces))
    grown = Series()
    for stop in np.cumsum([start, *pieces]):
        grown.add(candles.take(slice(grown.size, int(stop))))
        manifold.measure_series(grown, family)
        assert grown.measured == grown.size
    assert same(grown.metrics, series_of(candles, family).metrics)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_replaced_candle_is_measured_again_with_all_after_it(family):
    candles = candles_of(2, 400)
    series = series_of(candles, family)
    other = candles.take(slice(250, 251))
    other.close[0] = other.high[0] = other.close[0] * 1.001
    series.add(other)
    manifold.measure_series(series, family)
    changed = candles.take(slice(None))
    changed.close[250] = changed.high[250] = other.close[0]
    assert same(series.metrics, series_of(changed, family).metrics)


@pytest.mark.parametrize("family", FAMILIES)
def test_forgetting_old_candles_leaves_later_metrics_as_they_are(family):
    candles = candles_of(3, 2_000)
    series = series_of(candles.take(slice(0, 1_900)), family)
    series.trim(int(candles.t[300]))
    series.add(candles.take(slice(1_900, None)))
    manifold.measure_series(series, family)
    whole = series_of(candles, family).metrics.take(slice(300, None))
    assert same(series.metrics, whole)


def test_no_window_ends_in_the_first_128_candles():
    series = series_of(candles_of(4, 131), "calibrated")
    assert np.flatnonzero(np.isfinite(series.metrics.coherence)).tolist() == [128, 129, 130]
    for column in series.metrics:
        assert np.isfinite(column).tolist() == [False] * 128 + [True] * 3


def test_candles_that_come_while_a_worker_measures_stay_unmeasured():
    candles = candles_of(5, 300)
    series = Series()
    series.add(candles.take(slice(0, 200)))
    structure = manifold.structures_of("calibrated", [manifold.pending(series, "calibrated")])[0]
    series.add(candles.take(slice(200, None)))
    manifold.complete(series, structure, "calibrated")
    assert series.measured == 200
    manifold.measure_series(series, "calibrated")
    assert same(series.metrics, series_of(candles, "calibrated").metrics)


def test_a_worker_gets_no_more_candles_than_the_tail_needs():
    series = series_of(candles_of(6, 500), "native")
    series.add(candles_of(7, 3, t0=500 * MINUTE_MS))
    assert [len(column) for column in manifold.pending(series, "native")] == [131] * 4


def test_several_instruments_measure_in_one_call_that_a_worker_can_be_sent():
    batch = [candles_of(seed, n) for seed, n in ((1, 140), (2, 20), (3, 300), (4, 140), (5, 129), (6, 300), (7, 140))]
    call = pickle.loads(pickle.dumps(manifold.structures_of))
    for family in FAMILIES:
        columns = [manifold.columns_of(family, candles) for candles in batch]
        for ours, candles in zip(call(family, columns), batch, strict=True):
            assert same(ours, manifold.structure_of(family, candles))


@pytest.mark.parametrize(("family", "twin"), [("calibrated", "crossing"), ("native", "event")])
def test_the_hazard_looks_back_on_1440_signals(family, twin):
    series = series_of(candles_of(8, 1_800), family)
    rupture = series.metrics.rupture[128:]
    t = series.candles.t[128:]
    at = len(rupture) - 1
    run = slice(at - 1439, at + 1)
    expected = (
        naive.crossing_hazard(rupture[run].tolist(), 1440)[-1]
        if twin == "crossing"
        else naive.event_hazard(rupture[run].tolist(), t[run].tolist(), 1440)[-1]
    )
    assert expected > 0.0
    assert series.metrics.hazard[-1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_points_and_signals_stand_at_the_close_of_the_measured_candles(family):
    series = series_of(candles_of(9, 200), family)
    points = manifold_documents.points(manifold_documents.rows_of(series, 0, family, FORM))
    signals = manifold_documents.signals(manifold_documents.rows_of(series, 190, family, FORM), family)
    assert [point.ts for point in points] == (series.candles.t[128:] + MINUTE_MS).tolist()
    assert [signal.ts_ns for signal in signals] == [(int(t) + MINUTE_MS) * 10**6 for t in series.candles.t[190:]]
    last, point = signals[-1], points[-1]
    assert last.price == series.candles.close[-1]
    assert (last.coherence, last.stability, last.entropy, last.rupture, last.lambda_) == (
        point.C,
        point.S,
        point.H,
        point.R,
        point.lambda_,
    )
    assert (point.C, point.S, point.H, point.R, point.lambda_) == tuple(float(column[-1]) for column in series.metrics)
    assert last.signature == point.signature == signatures(family, series.metrics, precision=1, levels=4)[-1]


def test_points_of_a_start_past_the_end_are_none():
    series = series_of(candles_of(9, 200), "native")
    assert manifold_documents.points(manifold_documents.rows_of(series, 200, "native", FORM)) == []
    assert manifold_documents.signals(manifold_documents.rows_of(series, 999, "native", FORM), "native") == []


@pytest.mark.parametrize("family", FAMILIES)
def test_points_hold_the_texture_of_their_window(family):
    series = series_of(candles_of(9, 300), family)
    points = manifold_documents.points(manifold_documents.rows_of(series, 0, family, FORM))
    candles = series.candles
    for point, at in ((points[0], 128), (points[50], 178), (points[-1], 299)):
        window = candles.take(slice(at - 128, at + 1))
        bits = naive.encode(window.close, window.high, window.low, window.volume)
        for name, value in naive.texture(bits, point.R).items():
            assert getattr(point, name) == pytest.approx(value, abs=1e-8), name


def test_a_point_whose_window_is_forgotten_has_no_texture():
    series = series_of(candles_of(9, 400), "calibrated")
    series.trim(int(series.candles.t[200]))
    points = manifold_documents.points(manifold_documents.rows_of(series, 0, "calibrated", FORM))
    assert [point.coherence_tau_1 is None for point in points] == [True] * 128 + [False] * 72
    assert msgspec.json.decode(documents.encode(points[0]), type=documents.ManifoldPoint) == points[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_document_holds_the_newest_manifold_and_meets_its_schema(family):
    series = series_of(candles_of(10, 1_700), family)
    document = newest(series, family)
    assert msgspec.json.decode(documents.encode(document), type=documents.Manifold) == document
    assert (document.instrument, document.epoch, document.seq) == ("EUR_USD", 3, 7)
    assert document.ts == series.newest + MINUTE_MS
    assert document.price == series.candles.close[-1]
    bits = naive.encode(
        *(
            column[-129:]
            for column in (series.candles.close, series.candles.high, series.candles.low, series.candles.volume)
        )
    )
    texture = naive.texture(bits, document.metrics.rupture)
    assert {name: getattr(document.metrics, name) for name in texture} == pytest.approx(texture, abs=2e-9)
    assert document.coeffs.sigma_eff == pytest.approx(naive.sigma_eff(series.candles.close[-1440:].tolist()))
    assert document.coeffs.lambda_ == series.metrics.hazard[-1]
    assert document.coeffs.lambda_hazard == document.metrics.rupture == series.metrics.rupture[-1]
    assert document.diagnostics == documents.Diagnostics(kernel=family, candles=1440, window=128, source="test")


def test_the_document_counts_its_signature_over_the_last_hour():
    series = series_of(candles_of(11, 600), "calibrated")
    document = newest(series, "calibrated")
    names = signatures("calibrated", series.metrics, precision=1, levels=4)
    stamps = series.candles.t + MINUTE_MS
    alike = [
        int(ts) for ts, name in zip(stamps, names, strict=True) if name == names[-1] and ts >= stamps[-1] - 3_600_000
    ]
    assert document.repetition == documents.Repetition(signature=names[-1], count_1h=len(alike), first_seen_ms=alike[0])


@pytest.mark.parametrize("n", [0, 128])
def test_there_is_no_document_before_the_first_window(n):
    assert newest(series_of(candles_of(12, n), "native"), "native") is None


@pytest.mark.parametrize(
    ("missing", "at", "expected"), [(60, 150, None), (61, 150, 61.0), (2880, 72, 2880.0), (2880, 71, None)]
)
def test_a_window_that_spans_more_than_an_hour_without_candles_says_so(missing, at, expected):
    series = series_of(candles_of(13, 200, gaps=[(at, missing)]), "native")
    assert newest(series, "native").diagnostics.gap_minutes == expected


def test_of_two_gaps_the_longer_one_is_told():
    series = series_of(candles_of(13, 200, gaps=[(100, 90), (150, 75)]), "native")
    assert newest(series, "native").diagnostics.gap_minutes == 90.0


@pytest.mark.parametrize(("family", "bound"), [("calibrated", 0.95), ("native", 0.5)])
def test_a_window_has_collapsed_from_its_familys_bound_on(family, bound):
    assert manifold.state_of(family, bound) == "collapsed"
    assert manifold.state_of(family, math.nextafter(bound, 0)) == "live"


def test_the_bound_of_a_break_is_the_one_that_the_hazard_counts():
    assert manifold.state_of("calibrated", hazard.BREAK) == "collapsed"


@pytest.mark.parametrize(
    ("field", "worse"), [("coherence", -1), ("stability", -1), ("entropy", 1), ("rupture", 1), ("hazard", 1)]
)
def test_a_guard_is_met_at_its_bound_and_not_beyond(field, worse):
    at = {"coherence": 0.55, "stability": 0.40, "entropy": 0.70, "rupture": 0.60, "hazard": 0.5}
    bounds = manifold_documents.Bounds(0.55, 0.40, 0.70, 0.60, 0.5)
    met = documents.Guard(**dict.fromkeys(at, True))

    def judged(values):
        return manifold_documents.guard(MetricColumns(*(np.array([value]) for value in values.values())), bounds)

    assert judged(at) == met
    assert judged({**at, field: at[field] + worse * 1e-9}) == msgspec.structs.replace(met, **{field: False})


def test_what_is_not_known_meets_no_bound():
    assert not any(msgspec.structs.astuple(manifold_documents.guard(unmeasured(1), BOUNDS)))


def test_a_window_whose_oldest_candles_are_forgotten_has_no_texture():
    candles = concatenate((candles_of(14, 200), candles_of(15, 5, t0=5_000 * MINUTE_MS)))
    series = series_of(candles, "calibrated")
    series.trim(5_000 * MINUTE_MS)
    document = newest(series, "calibrated")
    assert document.metrics.spectral_lowf_share is None
    assert document.metrics.coherence == series.metrics.coherence[-1]
