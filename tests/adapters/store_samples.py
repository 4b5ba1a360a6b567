"""Samples of everything that a store keeps."""

from __future__ import annotations

import numpy as np

from hotbandd.core.candles import MINUTE_MS, Candles, of_columns
from hotbandd.core.documents import (
    AllocatorStatus,
    Coefficients,
    Diagnostics,
    EvaluationPoint,
    Floors,
    GatesBlob,
    GateState,
    Guard,
    Manifold,
    ManifoldPoint,
    Params,
    Repetition,
    RollingSummary,
    Signal,
    SpanSummary,
    Structure,
    Weights,
)
from hotbandd.ports import Ages, Evaluation, ManifoldUpdate

PAIR = "EUR_USD"
PARAM_KEY = "c0.55:l12:t2:ec60:xc60"
START = 1_760_000_040_000
AGES = Ages(candles_days=95, candles_hot_days=95, signal_days=7, gates_blob_sec=1800, alloc_interval_sec=600)

SPAN = SpanSummary(
    trades=12,
    win_rate=0.5,
    pnl_total=0.02,
    max_drawdown=0.01,
    calmar=2.0,
    profit_factor=1.5,
    avg_hold_min=30.0,
    exposure=0.1,
    max_losing_streak=3,
    coverage=1.0,
)


def candles(*minutes: int, price: float = 1.1, quoted: bool = True) -> Candles:
    """Candles at minutes after START."""
    t = START + np.array(minutes, dtype=np.int64) * MINUTE_MS
    close = np.full(len(minutes), price) + np.array(minutes) * 1e-5
    quotes = (close - 1e-5, close + 1e-5) if quoted else ()
    return of_columns(t, close, close + 1e-4, close - 1e-4, close, np.full(len(minutes), 12.0), *quotes)


def point(ts: int) -> ManifoldPoint:
    return ManifoldPoint(ts=ts, signature="s", C=0.5, S=0.5, H=0.5, R=0.5, lambda_=0.1)


def signal(ts: int) -> Signal:
    return Signal(
        ts_ns=ts * 1_000_000,
        price=1.1,
        state="live",
        coherence=0.5,
        stability=0.25,
        entropy=0.5,
        rupture=0.5,
        lambda_=0.1,
        signature="s",
    )


def manifold(ts: int = START, epoch: int = 1, seq: int = 1, instrument: str = PAIR) -> Manifold:
    return Manifold(
        instrument=instrument,
        ts=ts,
        price=1.1,
        state="live",
        metrics=Structure(coherence=0.5, stability=0.5, entropy=0.5, rupture=0.5),
        coeffs=Coefficients(sigma_eff=1e-4, lambda_=0.1, lambda_hazard=0.1),
        repetition=Repetition(signature="s", count_1h=1, first_seen_ms=ts),
        diagnostics=Diagnostics(kernel="calibrated", candles=128, window=128, source="replay"),
        guard=Guard(coherence=True, stability=True, entropy=True, rupture=True, hazard=True),
        epoch=epoch,
        seq=seq,
    )


def update(ts: int = START, epoch: int = 1, seq: int = 1) -> ManifoldUpdate:
    return ManifoldUpdate(manifold(ts, epoch, seq), [point(ts)], [signal(ts)])


def blob(ts: int = START, epoch: int = 1, seq: int = 1) -> GatesBlob:
    return GatesBlob(
        ts=ts,
        evaluated_ts=ts,
        gates={PAIR: 1},
        cooldowns={PAIR: 0},
        bufs={PAIR: 0.1},
        reasons={PAIR: []},
        guards={PAIR: None},
        epoch=epoch,
        seq=seq,
    )


def summary(ts: int = START, epoch: int = 1, seq: int = 1) -> RollingSummary:
    return RollingSummary(
        ts=ts,
        instrument=PAIR,
        params=Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0),
        param_key=PARAM_KEY,
        summary={},
        gates=Floors(min_trades=8, calmar_min=0.1, pnl_min=0.0),
        eligible=1,
        reasons=[],
        epoch=epoch,
        seq=seq,
    )


def evaluation(ts: int = START, epoch: int = 1, seq: int = 1, *, cooldown_until: int = 0) -> Evaluation:
    return Evaluation(
        blob=blob(ts, epoch, seq),
        states={PAIR: GateState(eligible=True, last_slot=ts, cooldown_until=cooldown_until)},
        summaries={PAIR: summary(ts, epoch, seq)},
        points={(PAIR, PARAM_KEY): EvaluationPoint(ts=ts, trades=9, calmar=0.2, pnl_total=0.01)},
    )


def weights(ts: int = START, epoch: int = 1, seq: int = 1) -> Weights:
    return Weights(ts=ts, weights={PAIR: 0.1}, target=0.3, gates_ts=ts, scores={PAIR: 0.5}, epoch=epoch, seq=seq)


def status(ts: int = START, epoch: int = 1, seq: int = 1) -> AllocatorStatus:
    return AllocatorStatus(
        ts=ts,
        interval_sec=600,
        top_k=3,
        eligible=1,
        selected=[PAIR],
        held=False,
        held_since=None,
        reason="allocated",
        held_closed=[],
        kill_switch=True,
        epoch=epoch,
        seq=seq,
    )


def assert_same(found: Candles, expected: Candles) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
