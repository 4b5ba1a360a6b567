"""Every payload that others read, as a schema: names, types and units of the contract.

Times are UTC epoch milliseconds unless a name ends in ``_ns``. Fields may be added; none is renamed or given another
meaning. Decoding is strict: an unknown schema, a missing field, NaN or a wrong type is an error, never a default.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from hotbandd.core.units import (
    YEAR_SEC,
    AboveZero,
    Bps,
    Buffer,
    Count,
    Epoch,
    Flag,
    Hazard,
    LogReturn,
    Millis,
    Minutes,
    Name,
    Nanos,
    ParamKey,
    Price,
    Seq,
    Signature,
    Slot,
    State,
    Unit,
    Weight,
)

SCHEMA: Literal[1] = 1


class Document(Struct, frozen=True, kw_only=True):
    """A payload with its schema number."""

    schema: Annotated[Literal[1], Meta(description="Number of the schema.")] = SCHEMA


class Texture(Struct, frozen=True, kw_only=True):
    """The structure of a window's bits beside the four metrics, where it is known.

    tau_k: share of bits equal to the bit k before; domain walls: neighbouring pairs that differ; slopes: per lag, and of the second half
    against the first.
    """

    coherence_tau_1: float | None = None
    coherence_tau_4: float | None = None
    coherence_tau_slope: float | None = None
    domain_wall_ratio: float | None = None
    domain_wall_slope: float | None = None
    spectral_lowf_share: float | None = None
    reynolds_ratio: float | None = None
    temporal_half_life: Annotated[float | None, Meta(description="Lags, each a candle.")] = None
    spatial_corr_length: float | None = None
    pinned_alignment: float | None = None


class Structure(Texture, frozen=True, kw_only=True):
    """Metrics of one window: coherence, stability, entropy, rupture, and the texture."""

    coherence: Annotated[Unit, Meta(description="C, how directed the window is.")]
    stability: Annotated[Unit, Meta(description="S, how persistent it is.")]
    entropy: Annotated[Unit, Meta(description="H, how random it is.")]
    rupture: Annotated[Unit, Meta(description="R, how broken it is.")]


class Coefficients(Struct, frozen=True, kw_only=True):
    """Volatility and hazards of an instrument."""

    sigma_eff: Annotated[float, Meta(ge=0.0, description="Standard deviation of log returns per minute.")]
    lambda_: Hazard = field(name="lambda")
    lambda_hazard: Annotated[Unit, Meta(description="R of the newest window.")]


class Repetition(Struct, frozen=True, kw_only=True):
    """How often the signature of the moment occurred within the last hour, itself included."""

    signature: Signature
    count_1h: Count
    first_seen_ms: Millis


class Diagnostics(Struct, frozen=True, kw_only=True):
    """What the manifold was measured on."""

    kernel: Annotated[Literal["calibrated", "native"], Meta(description="Family of the metrics.")]
    candles: Annotated[Count, Meta(description="Candles that are known.")]
    window: Annotated[Count, Meta(description="Length of a window, candles.")]
    source: Annotated[str, Meta(description="Where the candles come from.")]
    gap_minutes: Annotated[Minutes | None, Meta(description="Longest gap over an hour inside the window, min.")] = None


class Guard(Struct, frozen=True, kw_only=True):
    """The newest manifold against each entry bound: true where it is met."""

    coherence: bool
    stability: bool
    entropy: bool
    rupture: bool
    hazard: bool


class Manifold(Document, frozen=True, kw_only=True):
    """The newest manifold of an instrument (``ws:last:manifold:{inst}``, ``ws:manifold``)."""

    instrument: Name
    ts: Annotated[Millis, Meta(description="Close of its newest candle, UTC epoch, ms.")]
    price: Price
    state: State
    metrics: Structure
    coeffs: Coefficients
    repetition: Repetition
    diagnostics: Diagnostics
    guard: Guard
    epoch: Epoch
    seq: Seq


class ManifoldPoint(Texture, frozen=True, kw_only=True, gc=False):
    """One minute of ``ws:manifold:hist:{inst}``."""

    schema: Annotated[Literal[1], Meta(description="Number of the schema.")] = SCHEMA

    ts: Annotated[Millis, Meta(description="Close of the window's newest candle, UTC epoch, ms; the member's score.")]
    signature: Signature
    C: Annotated[Unit, Meta(description="Coherence.")]
    S: Annotated[Unit, Meta(description="Stability.")]
    H: Annotated[Unit, Meta(description="Entropy.")]
    R: Annotated[Unit, Meta(description="Rupture.")]
    lambda_: Hazard = field(name="lambda")


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of one back-test. Thresholds are a number or ``pNN``, a percentile of the instrument's own past."""

    c_min: Annotated[float | str, Meta(description="Least coherence of an entry: a number, or pNN.")]
    direction_lookback: Annotated[int, Meta(ge=1, le=1440, description="Look-back of the direction, candles.")]
    dir_threshold_bps: Annotated[Bps, Meta(description="Least slope over the look-back, basis points.")]
    entry_cooldown_sec: Annotated[int, Meta(ge=0, le=YEAR_SEC, description="Pause after an entry, s.")] = 60
    exit_cooldown_sec: Annotated[int, Meta(ge=0, le=YEAR_SEC, description="Pause after an exit, s.")] = 60
    strategy: Annotated[str, Meta(description="Rule of the direction.")] = "combined"
    max_hold_min: Annotated[int, Meta(ge=1, le=YEAR_SEC // 60, description="Longest hold, min.")] = 240
    tp_bps: Annotated[AboveZero | None, Meta(description="Take profit, basis points; null: off.")] = None
    sl_bps: Annotated[AboveZero | None, Meta(description="Stop loss, basis points; null: off.")] = None
    cost_bps: Annotated[Bps | None, Meta(description="Cost of a round trip, basis points; null: as set.")] = None


class SpanSummary(Struct, frozen=True, kw_only=True):
    """Performance of the trades entered in one span; log returns after cost."""

    trades: Count
    win_rate: Annotated[Unit, Meta(description="Share of the trades that earned.")]
    pnl_total: LogReturn
    max_drawdown: Annotated[float, Meta(ge=0.0, description="Deepest fall of the summed log returns.")]
    calmar: Annotated[float, Meta(ge=-100.0, le=100.0, description="pnl_total over max_drawdown.")]
    profit_factor: Annotated[float, Meta(ge=0.0, description="What winners earned over what losers lost.")]
    avg_hold_min: Annotated[Minutes, Meta(description="Mean time in a trade, min.")]
    exposure: Annotated[Unit, Meta(description="Share of the time in a trade.")]
    max_losing_streak: Annotated[Count, Meta(description="Most losing trades in a row.")]
    coverage: Annotated[Unit, Meta(description="Share of the session's minutes that have a candle.")]


class Floors(Struct, frozen=True, kw_only=True):
    """The floors in force, and whether history raised them above the settings' own."""

    min_trades: Annotated[float, Meta(description="Least trades in 30 days.")]
    calmar_min: Annotated[float, Meta(description="Least calmar in 30 days.")]
    pnl_min: Annotated[float, Meta(description="Least sum of log returns in 30 days.")]
    adaptive: Annotated[bool, Meta(description="Whether history raised one of them.")] = False
    history: Annotated[Count, Meta(description="Evaluations that they may follow from.")] = 0


class RollingSummary(Document, frozen=True, kw_only=True):
    """The last evaluation of an instrument (``bt:rolling:summary:{inst}``)."""

    ts: Slot
    instrument: Name
    params: Params
    param_key: ParamKey
    summary: Annotated[dict[str, SpanSummary], Meta(description="Performance by span: 14, 30 and 60 days.")]
    gates: Annotated[Floors, Meta(description="The floors that it was held against.")]
    eligible: Annotated[Flag, Meta(description="1: its gate is open.")]
    reasons: Annotated[list[str], Meta(description="Codes of what keeps it from a pass.")]
    epoch: Epoch
    seq: Seq


class EvaluationPoint(Document, frozen=True, kw_only=True, gc=False):
    """One evaluation kept for the adaptive floors (``bt:rolling:hist:{inst}:{param_key}``)."""

    ts: Annotated[Millis, Meta(description="The slot, UTC epoch, ms; the member's score.")]
    trades: Count
    calmar: Annotated[float, Meta(description="Of 30 days.")]
    pnl_total: LogReturn


class GateState(Document, frozen=True, kw_only=True):
    """State of one gate (``opt:rolling:state:{inst}``)."""

    eligible: Annotated[bool, Meta(description="Whether passes have opened it.")] = False
    passes: Annotated[Count, Meta(description="Passes in a row.")] = 0
    fails: Annotated[Count, Meta(description="Fails in a row.")] = 0
    misses: Annotated[Count, Meta(description="Fails since the last pass; the fourth one arms the cooldown.")] = 0
    cooldown_until: Annotated[Millis, Meta(description="End of the cooldown, UTC epoch, ms; 0: there was none.")] = 0
    cooldown_spent: Annotated[bool, Meta(description="Whether it has cooled down since it was last eligible.")] = False
    last_slot: Annotated[Millis, Meta(description="Last slot that counted, UTC epoch, ms.")] = 0
    last_candle: Annotated[Millis, Meta(description="Newest candle of that slot, UTC epoch, ms.")] = 0
    param_key: ParamKey = ""


class Cooldown(Document, frozen=True, kw_only=True):
    """The cooldown of an instrument (``opt:rolling:cooldown:{inst}``)."""

    cooldown_until: Millis


class GatesBlob(Document, frozen=True, kw_only=True):
    """All gates of one moment (``opt:rolling:gates_blob``, ``ws:gates``)."""

    ts: Annotated[Millis, Meta(description="The moment that it is of, UTC epoch, ms.")]
    evaluated_ts: Annotated[Millis, Meta(description="The slot that stepped the gates, UTC epoch, ms.")]
    gates: Annotated[dict[Name, Flag], Meta(description="1: may be traded, 0: not.")]
    cooldowns: Annotated[dict[Name, Flag], Meta(description="1: cools down.")]
    bufs: Annotated[dict[Name, Buffer], Meta(description="Buffers around the floors, shares of the floor.")]
    reasons: Annotated[dict[Name, list[str]], Meta(description="Codes of why a gate reads 0; none where it reads 1.")]
    guards: Annotated[dict[Name, Guard | None], Meta(description="Null: there is no manifold.")]
    epoch: Epoch
    seq: Seq


class Weights(Document, frozen=True, kw_only=True):
    """How much of the book each instrument may take (``risk:allocation_weights``, ``ws:weights``)."""

    ts: Slot
    weights: Annotated[dict[Name, Weight], Meta(description="Shares of the book; who is not here has none.")]
    target: Annotated[Unit, Meta(description="All weights together at most, a share of the book.")]
    gates_ts: Annotated[Millis, Meta(description="ts of the gates that they follow from, UTC epoch, ms.")]
    scores: Annotated[dict[Name, float], Meta(description="What the weights are in proportion to.")]
    epoch: Epoch
    seq: Seq


class AllocatorStatus(Document, frozen=True, kw_only=True):
    """What the allocator did in its last slot (``opt:allocator:status``)."""

    ts: Slot
    interval_sec: Annotated[Count, Meta(description="Time between slots, s.")]
    top_k: Annotated[Count, Meta(description="Instruments that get a weight at most.")]
    eligible: Annotated[Count, Meta(description="Open gates.")]
    selected: Annotated[list[Name], Meta(description="Who got a weight; none while it holds.")]
    held: Annotated[bool, Meta(description="Whether the weights before it stand.")]
    held_since: Annotated[Millis | None, Meta(description="First slot of the hold, UTC epoch, ms; null: no hold.")]
    reason: Annotated[str, Meta(description="Code of why it did so.")]
    held_closed: Annotated[list[Name], Meta(description="Who keeps a weight though its gate is shut.")]
    kill_switch: Annotated[bool, Meta(description="Whether the kill switch is engaged.")]
    epoch: Epoch
    seq: Seq


class ClockAnchor(Document, frozen=True, kw_only=True):
    """The clock while it is not the real one (``hotband:clock``): its time is anchor_virtual + (now - anchor_wall) * speed."""

    anchor_wall: Annotated[Millis, Meta(description="A moment of the real clock, UTC epoch, ms.")]
    anchor_virtual: Annotated[Millis, Meta(description="What this clock showed then, UTC epoch, ms.")]
    speed: Annotated[float, Meta(gt=0.0, description="Seconds of this clock per real second.")]


class Signal(Struct, frozen=True, kw_only=True, gc=False):
    """One signal (``sep:signal:{inst}:{ts_ns}``): a window's metrics at its newest candle's close."""

    ts_ns: Nanos
    price: Annotated[float, Meta(description="Close of the candle.")]
    state: State
    coherence: float
    stability: float
    entropy: float
    rupture: float
    lambda_: Annotated[float, Meta(description="Probability of a rupture within a minute.")] = field(name="lambda")
    signature: Signature


def encode(value: object) -> bytes:
    """Encode a payload as JSON, keys in their declared order."""
    return msgspec.json.encode(value)
