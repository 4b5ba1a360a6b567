"""Every payload that others read, as a schema: names, types and units of the contract.

Times are UTC epoch milliseconds unless a name ends in ``_ns``. Fields may be added; none is renamed or given another
meaning. Decoding is strict: an unknown schema, a missing field, NaN or a wrong type is an error, never a default.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

SCHEMA: Literal[1] = 1
YEAR_SEC = 31_536_000

Flag = Literal[0, 1]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]
Millis = Annotated[int, Meta(ge=0)]


class Document(Struct, frozen=True, kw_only=True):
    """A payload with its schema number."""

    schema: Literal[1] = SCHEMA


class Texture(Struct, frozen=True, kw_only=True):
    """The structure of a window's bits beside the four metrics, where it is known."""

    coherence_tau_1: float | None = None
    coherence_tau_4: float | None = None
    coherence_tau_slope: float | None = None
    domain_wall_ratio: float | None = None
    domain_wall_slope: float | None = None
    spectral_lowf_share: float | None = None
    reynolds_ratio: float | None = None
    temporal_half_life: float | None = None
    spatial_corr_length: float | None = None
    pinned_alignment: float | None = None


class Structure(Texture, frozen=True, kw_only=True):
    """Metrics of one window: coherence, stability, entropy, rupture, and the texture."""

    coherence: Unit
    stability: Unit
    entropy: Unit
    rupture: Unit


class Coefficients(Struct, frozen=True, kw_only=True):
    """``sigma_eff``: standard deviation of log returns per minute; ``lambda``: one-minute hazard of a rupture."""

    sigma_eff: Annotated[float, Meta(ge=0.0)]
    lambda_: Unit = field(name="lambda")
    lambda_hazard: Unit


class Repetition(Struct, frozen=True, kw_only=True):
    """How often the signature of the moment occurred within the last hour, itself included."""

    signature: str
    count_1h: Count
    first_seen_ms: Millis


class Diagnostics(Struct, frozen=True, kw_only=True):
    """What the manifold was measured on; ``gap_minutes`` is the longest gap over an hour inside the window."""

    kernel: Literal["calibrated", "native"]
    candles: Count
    window: Count
    source: str
    gap_minutes: Annotated[float, Meta(ge=0.0)] | None = None


class Guard(Struct, frozen=True, kw_only=True):
    """The newest manifold against each entry bound: true where it is met."""

    coherence: bool
    stability: bool
    entropy: bool
    rupture: bool
    hazard: bool


class Manifold(Document, frozen=True, kw_only=True):
    """The newest manifold of an instrument (``ws:last:manifold:{inst}``, ``ws:manifold``);

    ``ts`` is its candle's close.
    """

    instrument: str
    ts: Millis
    price: Annotated[float, Meta(gt=0.0)]
    state: Literal["live", "collapsed"]
    metrics: Structure
    coeffs: Coefficients
    repetition: Repetition
    diagnostics: Diagnostics
    guard: Guard
    epoch: Count
    seq: Count


class ManifoldPoint(Texture, frozen=True, kw_only=True, gc=False):
    """One minute of ``ws:manifold:hist:{inst}``."""

    schema: Literal[1] = SCHEMA

    ts: Millis
    signature: str
    C: Unit
    S: Unit
    H: Unit
    R: Unit
    lambda_: Unit = field(name="lambda")


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of one back-test. Thresholds are a number or ``pNN``, a percentile of the instrument's own past."""

    c_min: float | str
    direction_lookback: Annotated[int, Meta(ge=1, le=1440)]
    dir_threshold_bps: Annotated[float, Meta(ge=0.0)]
    entry_cooldown_sec: Annotated[int, Meta(ge=0, le=YEAR_SEC)] = 60
    exit_cooldown_sec: Annotated[int, Meta(ge=0, le=YEAR_SEC)] = 60
    strategy: str = "combined"
    max_hold_min: Annotated[int, Meta(ge=1, le=YEAR_SEC // 60)] = 240
    tp_bps: Annotated[float, Meta(gt=0.0)] | None = None
    sl_bps: Annotated[float, Meta(gt=0.0)] | None = None
    cost_bps: Annotated[float, Meta(ge=0.0)] | None = None


class SpanSummary(Struct, frozen=True, kw_only=True):
    """Performance of the trades entered in one span; log returns after cost."""

    trades: Count
    win_rate: Unit
    pnl_total: float
    max_drawdown: Annotated[float, Meta(ge=0.0)]
    calmar: Annotated[float, Meta(ge=-100.0, le=100.0)]
    profit_factor: Annotated[float, Meta(ge=0.0)]
    avg_hold_min: Annotated[float, Meta(ge=0.0)]
    exposure: Unit
    max_losing_streak: Count
    coverage: Unit


class Floors(Struct, frozen=True, kw_only=True):
    """The floors in force, and whether history raised them above the settings' own."""

    min_trades: float
    calmar_min: float
    pnl_min: float
    adaptive: bool = False
    history: Count = 0


class RollingSummary(Document, frozen=True, kw_only=True):
    """The last evaluation of an instrument (``bt:rolling:summary:{inst}``)."""

    ts: Millis
    instrument: str
    params: Params
    param_key: str
    summary: dict[str, SpanSummary]
    gates: Floors
    eligible: Flag
    reasons: list[str]
    epoch: Count
    seq: Count


class EvaluationPoint(Document, frozen=True, kw_only=True, gc=False):
    """One evaluation kept for the adaptive floors (``bt:rolling:hist:{inst}:{param_key}``)."""

    ts: Millis
    trades: Count
    calmar: float
    pnl_total: float


class GateState(Document, frozen=True, kw_only=True):
    """State of one gate (``opt:rolling:state:{inst}``)."""

    eligible: bool = False
    passes: Count = 0
    fails: Count = 0
    misses: Count = 0
    cooldown_until: Millis = 0
    cooldown_spent: bool = False  # armed once since the instrument was last eligible
    last_slot: Millis = 0
    last_candle: Millis = 0
    param_key: str = ""


class Cooldown(Document, frozen=True, kw_only=True):
    """The cooldown of an instrument (``opt:rolling:cooldown:{inst}``)."""

    cooldown_until: Millis


class GatesBlob(Document, frozen=True, kw_only=True):
    """All gates of one moment (``opt:rolling:gates_blob``, ``ws:gates``).

    ``evaluated_ts`` is the slot that stepped them.
    """

    ts: Millis
    evaluated_ts: Millis
    gates: dict[str, Flag]
    cooldowns: dict[str, Flag]
    bufs: dict[str, Annotated[float, Meta(ge=0.0, le=0.30)]]
    reasons: dict[str, list[str]]
    guards: dict[str, Guard | None]
    epoch: Count
    seq: Count


class Weights(Document, frozen=True, kw_only=True):
    """How much of the book each instrument may take (``risk:allocation_weights``, ``ws:weights``)."""

    ts: Millis
    weights: dict[str, Unit]
    target: Unit
    gates_ts: Millis
    scores: dict[str, float]
    epoch: Count
    seq: Count


class AllocatorStatus(Document, frozen=True, kw_only=True):
    """What the allocator did in its last slot (``opt:allocator:status``)."""

    ts: Millis
    interval_sec: Count
    top_k: Count
    eligible: Count
    selected: list[str]
    held: bool
    held_since: Millis | None
    reason: str
    held_closed: list[str]
    kill_switch: bool
    epoch: Count
    seq: Count


class ClockAnchor(Document, frozen=True, kw_only=True):
    """The clock while it is not the real one (``hotband:clock``)."""

    anchor_wall: Millis
    anchor_virtual: Millis
    speed: Annotated[float, Meta(gt=0.0)]


class Signal(Struct, frozen=True, kw_only=True, gc=False):
    """One signal (``sep:signal:{inst}:{ts_ns}``): a window's metrics at its newest candle's close."""

    ts_ns: Annotated[int, Meta(ge=0)]
    price: float
    state: Literal["live", "collapsed"]
    coherence: float
    stability: float
    entropy: float
    rupture: float
    lambda_: float = field(name="lambda")
    signature: str


def encode(value: object) -> bytes:
    """Encode a payload as JSON, keys in their declared order."""
    return msgspec.json.encode(value)
