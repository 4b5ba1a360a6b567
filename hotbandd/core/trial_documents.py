"""What trials leave behind, as schemas: runs, trades, best configurations, reports, and news of promoted parameters."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from hotbandd.core.documents import Count, Document, Millis, Params, SpanSummary, Unit

GLOBAL: Final = "GLOBAL"  # names the best configuration over all instruments


class TrialRun(Document, frozen=True, kw_only=True):
    """One run of a trial (``bt:trial:run:{run_id}``).

    ``summary`` is of the run's last days, at most 30; ``spec`` the hash of the spec that asked for it. ``end_ms``: the close of
    its last candle; ``daily``: log returns after cost by day of the exit, one for each 24 hours of the window, the last ones
    ending there; ``sharpe``: mean over deviation of its trades' returns, 0 where there is none.
    """

    run_id: str
    ts: Millis
    instrument: str
    param_key: str
    params: Params
    window_days: int
    summary: SpanSummary
    spec: str
    end_ms: Millis
    daily: list[float] = field(default_factory=list)
    sharpe: float = 0.0


class TradeRow(Struct, frozen=True, kw_only=True):
    """One trade; prices, and log returns: ``ret`` after cost, ``mae`` and ``mfe`` before."""

    side: Literal["long", "short"]
    entry_ms: Millis
    exit_ms: Millis
    entry: float
    exit: float
    ret: float
    reason: str
    mae: float
    mfe: float


class TrialTrades(Document, frozen=True, kw_only=True):
    """The trades of one run (``bt:trial:trades:{run_id}``)."""

    run_id: str
    trades: list[TradeRow]


class FoldResult(Struct, frozen=True, kw_only=True):
    """One fold of a walk-forward: the set that was best while fitting, and what it returned on the days after."""

    fit_start: Millis
    fit_end: Millis
    test_end: Millis
    param_key: str
    fit_pnl: float
    test_pnl: float


class Luck(Struct, frozen=True, kw_only=True):
    """How much of a winner may be luck; None where too little is known to tell."""

    trials: Count
    deflated_sharpe: Unit | None
    pbo: Unit | None
    walk_forward: list[FoldResult]
    words: str


class BestConfig(Document, frozen=True, kw_only=True):
    """The best parameters of an instrument, or of all (``opt:best_config:{inst}``, ``opt:best_config:GLOBAL``)."""

    instrument: str
    param_key: str
    params: Params
    env: dict[str, str]
    summary: SpanSummary
    ts: Millis
    luck: Luck | None = None


class ReportDocument(Document, frozen=True, kw_only=True):
    """The newest report (``opt:backtests:report:latest``)."""

    filename: str
    content: str
    ts: Millis
    days: Annotated[int, Meta(ge=1)]
    instruments: list[str]


class LiveConfigChanged(Document, frozen=True, kw_only=True):
    """News that an instrument's parameters were promoted (``opt:live_config:changed:{inst}``); None where it has none any more."""

    instrument: str
    params: Params | None
    ts: Millis
