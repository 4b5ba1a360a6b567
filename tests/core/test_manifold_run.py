from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest

from hotbandd.core import manifold_documents
from hotbandd.core.candle_input import parse
from hotbandd.core.candles import MINUTE_MS, concatenate
from hotbandd.core.manifold_run import native_window, run_document
from hotbandd.errors import CandleInputError, UsageError
from tests.core.test_manifold import candles_of, newest, series_of

STRICT = {"profile": "strict", "precision": 1, "levels": 4, "lookback_min": 60}
NATIVE = {"family": "native", "profile": "native", "precision": 2, "levels": 4, "lookback_min": 60}
METRICS = {
    "coherence",
    "stability",
    "entropy",
    "rupture",
    "coherence_tau_1",
    "coherence_tau_4",
    "coherence_tau_slope",
    "domain_wall_ratio",
    "domain_wall_slope",
    "spectral_lowf_share",
    "reynolds_ratio",
    "temporal_half_life",
    "spatial_corr_length",
    "pinned_alignment",
}


def differences(ours, theirs, path=""):
    """Paths at which two documents differ, numbers by more than a millionth."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        missing = [f"{path}.{key}" for key in ours.keys() ^ theirs.keys()]
        return missing + [
            d for key in ours.keys() & theirs.keys() for d in differences(ours[key], theirs[key], f"{path}.{key}")
        ]
    if isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        return [d for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) for d in differences(a, b, f"{path}[{i}]")]
    if isinstance(theirs, float) and isinstance(ours, float):
        return [] if math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6) else [path]
    return [] if ours == theirs else [path]


@pytest.mark.shared_data
@pytest.mark.parametrize(("file", "cases"), [("manifolds_real_and_edge", 49), ("manifolds_synthetic", 80)])
def test_the_native_profile_repeats_the_originals_documents(shared_data, file, cases):
    with gzip.open(shared_data / f"golden/{file}.jsonl.gz", "rt") as lines:
        for line in lines:
            case = json.loads(line)
            cases -= 1
            candles = parse(json.dumps(case["input"]))
            form = {
                **NATIVE,
                "precision": float(case["env"].get("ECHO_SIGNATURE_PRECISION", 2)),
                "lookback_min": int(case["env"].get("ECHO_LOOKBACK_MINUTES", 60)),
            }
            for build, every in (("native", False), ("native_step1", True)):
                if build in case:
                    ours = run_document(candles, "UNKNOWN", **form, every_window=every)
                    assert not differences(ours, case[build]), (case["name"], build)
    assert cases == 0


@pytest.mark.parametrize(
    ("bits", "m"),
    [
        (0, 1),
        (7, 7),
        (8, 8),
        (9, 9),
        (12, 9),
        (13, 12),
        (24, 12),
        (25, 19),
        (31, 24),
        (32, 24),
        (128, 120),
        (129, 128),
        (9_999, 128),
    ],
)
def test_the_original_takes_shorter_windows_of_short_input(bits, m):
    assert native_window(bits) == m


@pytest.mark.parametrize("n", [1, 2, 8])
def test_the_native_profile_reads_zero_where_no_window_fits(n):
    document = run_document(candles_of(1, n), "EUR_USD", **NATIVE)
    assert document["signals"] == []
    assert document["metrics"] == {**dict.fromkeys(METRICS, 0.0), "pinned_alignment": 1.0}
    assert document["coeffs"]["lambda"] == 0.0


@pytest.mark.parametrize("family", ["calibrated", "native"])
def test_the_strict_profile_signals_at_the_close_of_every_window(family):
    candles = candles_of(2, 1_700)
    document = run_document(candles, "EUR_USD", family=family, **STRICT)
    series = series_of(candles, family)
    form = manifold_documents.Form(precision=1, levels=4)
    signals = manifold_documents.signals(manifold_documents.rows_of(series, 0, family, form), family)
    assert document["count"] == 1_700
    assert (document["t0_ms"], document["t1_ms"]) == (candles.t[0], candles.t[-1])
    assert len(document["signals"]) == 1_700 - 128 == len(signals)
    for ours, theirs in zip(document["signals"], signals, strict=True):
        assert ours["timestamp_ns"] == theirs.ts_ns
        assert (ours["price"], ours["state"]) == (theirs.price, theirs.state)
        assert ours["repetition"]["signature"] == theirs.signature
        assert (ours["coherence"], ours["stability"], ours["entropy"], ours["rupture"]) == (
            theirs.coherence, theirs.stability, theirs.entropy, theirs.rupture,
        )  # fmt: skip
        assert ours["lambda_hazard"] == ours["coeffs"]["lambda_hazard"] == theirs.rupture


@pytest.mark.parametrize("family", ["calibrated", "native"])
def test_the_strict_profile_ends_in_the_manifold_that_is_published(family):
    candles = candles_of(3, 1_900)
    last = newest(series_of(candles, family), family)
    document = run_document(candles, "EUR_USD", family=family, **STRICT)
    assert document["metrics"].keys() == METRICS
    assert document["metrics"] == {name: getattr(last.metrics, name) for name in METRICS}
    assert document["coeffs"]["lambda"] == last.coeffs.lambda_
    assert document["coeffs"]["sigma_eff"] == last.coeffs.sigma_eff
    repetition = document["signals"][-1]["repetition"]
    assert (repetition["count_1h"], repetition["first_seen_ms"]) == (
        last.repetition.count_1h,
        last.repetition.first_seen_ms,
    )


def test_a_signal_holds_its_metrics_twice_but_for_two_of_them():
    signal = run_document(candles_of(4, 129), "EUR_USD", family="native", **STRICT)["signals"][0]
    flat = METRICS - {"coherence_tau_1", "coherence_tau_4"}
    assert signal.keys() == flat | {
        "timestamp_ns",
        "price",
        "state",
        "metrics",
        "coeffs",
        "repetition",
        "lambda_hazard",
    }
    assert {name: signal[name] for name in flat} == {name: signal["metrics"][name] for name in flat}


def test_the_strict_profile_has_no_signal_before_128_bits():
    document = run_document(candles_of(5, 128), "EUR_USD", family="calibrated", **STRICT)
    assert document["signals"] == []
    assert document["coeffs"]["lambda"] == 0.0
    assert document["coeffs"]["sigma_eff"] > 0.0


def test_no_candle_leaves_only_a_count():
    for form in ({**STRICT, "family": "calibrated"}, NATIVE):
        assert run_document(candles_of(6, 0), "EUR_USD", **form) == {"count": 0, "instrument": "EUR_USD", "signals": []}


def test_signals_over_a_long_gap_carry_its_length():
    document = run_document(candles_of(7, 300, gaps=[(200, 2_940)]), "EUR_USD", family="calibrated", **STRICT)
    gaps = [signal.get("diagnostics", {}).get("gap_minutes") for signal in document["signals"]]
    assert gaps == [None] * 72 + [2_940.0] * 100


def test_the_strict_profile_refuses_a_stamp_that_comes_again():
    candles = concatenate((candles_of(8, 140), candles_of(9, 1, t0=139 * MINUTE_MS)))
    with pytest.raises(CandleInputError, match="Row 141 "):
        run_document(candles, "EUR_USD", family="calibrated", **STRICT)


def test_the_native_profile_takes_candles_in_any_order():
    candles = candles_of(10, 300).take(np.random.default_rng(0).permutation(300))
    assert run_document(candles, "EUR_USD", **NATIVE)["count"] == 300


def test_the_native_profile_measures_the_native_family_only():
    with pytest.raises(UsageError, match="native family"):
        run_document(candles_of(11, 200), "EUR_USD", **{**NATIVE, "family": "calibrated"})
