"""What trials leave behind, as schemas: runs, trades, best configurations, reports, and news of promoted parameters."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from hotbandd.core.documents import Document, Params, SpanSummary
from hotbandd.core.units import Count, LogReturn, Millis, Name, ParamKey, Price, Unit

GLOBAL: Final = "GLOBAL"  # names the best configuration over all instruments


class TrialRun(Document, frozen=True, kw_only=True):
    """One run of a trial (``bt:trial:run:{run_id}``)."""

    run_id: str
    ts: Millis
    instrument: Name
    param_key: ParamKey
    params: Params
    window_days: Annotated[int, Meta(description="Length of the run, days.")]
    summary: Annotated[SpanSummary, Meta(description="Of the run's last days, at most 30.")]
    spec: Annotated[str, Meta(description="Hash of the spec that asked for it.")]
    end_ms: Annotated[Millis, Meta(description="Close of its last candle, UTC epoch, ms.")]
    daily: Annotated[
        list[LogReturn],
        Meta(
            description="Log returns by day of the exit: one for each 24 hours of the run, the last ones ending with it."
        ),
    ] = field(default_factory=list)
    sharpe: Annotated[float, Meta(description="Mean over deviation of its trades' returns; 0: there is none.")] = 0.0


class TrialPack(Document, frozen=True, kw_only=True):
    """Runs of a trial that ended together (``bt:trial:pack:{pack_id}``): one instrument, one spec."""

    runs: list[TrialRun]


class TradeRow(Struct, frozen=True, kw_only=True):
    """One trade."""

    side: Literal["long", "short"]
    entry_ms: Millis
    exit_ms: Millis
    entry: Price
    exit: Price
    ret: Annotated[LogReturn, Meta(description="Log return after cost.")]
    reason: Annotated[str, Meta(description="Code of why it ended.")]
    mae: Annotated[float, Meta(description="Furthest against it, log return before cost.")]
    mfe: Annotated[float, Meta(description="Furthest in its favour, log return before cost.")]


class TrialTrades(Document, frozen=True, kw_only=True):
    """The trades of one run (``bt:trial:trades:{run_id}``)."""

    run_id: str
    trades: list[TradeRow]


class FoldResult(Struct, frozen=True, kw_only=True):
    """One fold of a walk-forward: the set that was best while fitting, and what it returned on the days after."""

    fit_start: Millis
    fit_end: Millis
    test_end: Millis
    param_key: ParamKey
    fit_pnl: LogReturn
    test_pnl: LogReturn


class Luck(Struct, frozen=True, kw_only=True):
    """How much of a winner may be luck; None where too little is known to tell."""

    trials: Annotated[Count, Meta(description="Sets of parameters that were tried.")]
    deflated_sharpe: Annotated[
        Unit | None, Meta(description="Probability that its Sharpe ratio is above what luck gives.")
    ]
    pbo: Annotated[Unit | None, Meta(description="Probability that choosing the best one over-fits.")]
    walk_forward: list[FoldResult]
    words: Annotated[str, Meta(description="All of that, in a sentence.")]


class BestConfig(Document, frozen=True, kw_only=True):
    """The best parameters of an instrument, or of all (``opt:best_config:{inst}``, ``opt:best_config:GLOBAL``)."""

    instrument: Annotated[str, Meta(description="An instrument, or GLOBAL.")]
    param_key: ParamKey
    params: Params
    env: Annotated[dict[str, str], Meta(description="The parameters as settings, by name.")]
    summary: SpanSummary
    ts: Millis
    luck: Luck | None = None


class ReportDocument(Document, frozen=True, kw_only=True):
    """The newest report (``opt:backtests:report:latest``)."""

    filename: str
    content: Annotated[str, Meta(description="Markdown.")]
    ts: Millis
    days: Annotated[int, Meta(ge=1, description="Trials of so many days.")]
    instruments: list[Name]


class LiveConfigChanged(Document, frozen=True, kw_only=True):
    """News that an instrument's parameters were promoted (``opt:live_config:changed:{inst}``)."""

    instrument: Name
    params: Annotated[Params | None, Meta(description="Null: it has none of its own any more.")]
    ts: Millis
