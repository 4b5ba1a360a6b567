"""What the page shows, as one typed document of parts.

Times are UTC epoch ms of the daemon's clock; None stands for what is not known. A part is sent anew only when it changes, so nothing in here
ages by itself: ages and countdowns are the reader's, by ``now`` and the speed of the clock.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from hotbandd.core.explanation import Figure, Guarded


class Daemon(Struct, frozen=True, kw_only=True):
    """The process that answers: who leads, whether the store answers, and what is amiss, in sentences.

    ``speed``: seconds of its clock per real second. ``source``: where its candles come from.
    """

    version: str
    source: str
    speed: float
    leading: bool
    holder: str | None
    epoch: int | None
    store_up: bool
    healthy: bool
    loaded: bool
    troubles: list[str]


class Switch(Struct, frozen=True, kw_only=True):
    """The kill switch; ``engaged`` is None while its key is missing, which counts as engaged."""

    engaged: bool | None
    words: str


class Session(Struct, frozen=True, kw_only=True):
    """One session: its currencies, and its next openings [open, close), the present one first."""

    name: str
    currencies: list[str]
    openings: list[tuple[int, int]]


class Sessions(Struct, frozen=True, kw_only=True):
    """All sessions, and the openings of the FX week; ``enabled``: whether gates follow them."""

    enabled: bool
    exit_minutes: int
    week: list[tuple[int, int]]
    sessions: list[Session]


class Gates(Struct, frozen=True, kw_only=True):
    """The blob of gates, when the next evaluation runs, and after how many misses an instrument cools down."""

    ts: int | None
    evaluated_ts: int | None
    max_age_sec: int
    interval_sec: int
    next_at: int
    misses_to_cool: int
    open: int
    of: int


class Allocation(Struct, frozen=True, kw_only=True):
    """The weights, what the allocator did in its last slot and why, and when the next one runs."""

    ts: int | None
    weights_ts: int | None
    weights: dict[str, float]
    total: float
    target: float
    cap: float
    top_k: int
    eligible: int
    held: bool
    held_since: int | None
    held_closed: list[str]
    hold_mode: str
    max_hold_sec: int
    reason: str | None
    words: str
    interval_sec: int
    next_at: int


class Why(Struct, frozen=True):
    """A reason of a shut gate: its code, and in words, short and whole."""

    code: str
    brief: str
    words: str


class Measured(Struct, frozen=True, kw_only=True):
    """The newest manifold."""

    ts: int
    price: float
    C: float
    S: float
    H: float
    R: float
    hazard: float


class Row(Struct, frozen=True, kw_only=True):
    """One instrument. ``max_age_ms``: from which age on its manifold counts as old; ``candle_at``: the close of its newest candle."""

    gate: int | None
    reasons: list[Why]
    eligible: bool
    passes: int
    fails: int
    misses: int
    required: int
    needed: int
    cooldown_until: int | None
    session_open: bool
    session_changes_at: int | None
    buffer: float | None
    evaluated_ts: int | None
    param_key: str | None
    outcome: str | None
    figures: list[Figure]
    guards: list[Guarded]
    flip: list[str]
    measured: Measured | None
    candle_at: int | None
    weight: float | None
    score: float | None
    selected: bool
    held_closed: bool


class Day(Struct, frozen=True, kw_only=True):
    """An instrument's metrics over the last day: means of each quarter of an hour in percent, None where nothing was measured.

    The last of the POINTS values ends at ``end``.
    """

    end: int
    C: list[int | None]
    S: list[int | None]
    H: list[int | None]
    R: list[int | None]


class Page(Struct, frozen=True, kw_only=True):
    """All that the page shows. ``version`` rises with every change, across restarts too."""

    version: int
    now: int
    stale_after_ms: int
    daemon: Daemon
    kill_switch: Switch
    sessions: Sessions
    gates: Gates
    allocation: Allocation
    instruments: dict[str, Row]
    days: dict[str, Day]


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What changed between two versions of the page: the parts that are there replace the old ones, instrument by instrument."""

    version: int
    now: int
    daemon: Daemon | None = None
    kill_switch: Switch | None = None
    sessions: Sessions | None = None
    gates: Gates | None = None
    allocation: Allocation | None = None
    instruments: dict[str, Row] = {}
    days: dict[str, Day] = {}


class Beat(Struct, frozen=True, kw_only=True):
    """A sign of life, with the clock."""

    version: int
    now: int


class Update(NamedTuple):
    """What goes to each listener: the version of the page after it, the name of what it is, and JSON on one line."""

    version: int
    name: str
    data: bytes
