"""What trials found, instrument by instrument, and the report of it that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hotbandd.core import assessment, winners
from hotbandd.core.means import GlobalWinner
from hotbandd.core.spans import MIN_COVERAGE
from hotbandd.core.surface import Surface, surface
from hotbandd.core.trial_documents import FoldResult, Luck, TrialRun

FIGURES: Final = ("trades", "pnl", "calmar", "profit factor", "win rate", "max drawdown")
NAMED: Final = 30  # more instruments than that are counted, where one sentence would name them all


@dataclass(frozen=True)
class Finding:
    """What the runs of one instrument's newest trial tell; of the runs themselves only two are kept.

    ``best``: the best one, whether it qualifies or not; ``winner``: the best one that does, None where none does, with
    how much of it may be luck; ``surface``: how they did over the grid.
    """

    instrument: str
    runs: int
    best: TrialRun
    winner: TrialRun | None
    luck: Luck | None = None
    surface: Surface | None = None


def of(runs: Sequence[TrialRun], min_trades: int) -> Finding:
    """Return the finding of an instrument's runs, of which there is at least one; its luck is not known yet."""
    return Finding(
        runs[0].instrument,
        len(runs),
        winners.ranked(runs)[0],
        winners.winner(runs, min_trades),
        surface=surface(runs),
    )


def foremost(findings: Sequence[Finding], count: int) -> list[Finding]:
    """Return so many findings that are most worth a look, in the order given: winners by deflated Sharpe and calmar, then others by calmar."""
    places = sorted(range(len(findings)), key=lambda place: _interest(findings[place]))
    return [findings[place] for place in sorted(places[:count])]


def _interest(found: Finding) -> tuple[bool, float, float]:
    known = found.luck.deflated_sharpe if found.luck else None
    return found.winner is None, 1.0 if known is None else -known, -(found.winner or found.best).summary.calmar


def markdown(
    findings: Sequence[Finding],
    best: GlobalWinner | None,
    days: int,
    min_trades: int,
    now: int,
    luck: Luck | None = None,
) -> str:
    """Return the report as Markdown; ``luck`` is that of the best over all instruments."""
    total = sum(found.runs for found in findings)
    won = sum(found.winner is not None for found in findings)
    lines = [
        f"# Trials of the last {days} days",
        "",
        f"Made {_time(now)}. {total} parameter sets were back-tested on {len(findings)} instruments; {won} of them have a winner.",
        "",
        f"A winner is the set with the highest calmar (return over its largest fall) among those with at least {min_trades} trades, a profit "
        "after cost, and more won than lost, over the last days of the run, at most 30. All returns are sums of log returns after cost.",
        "",
        "## Winners",
        "",
        _row(("instrument", "parameters", *FIGURES, "deflated Sharpe", "overfitting")),
        _row(("---",) * (4 + len(FIGURES))),
        *(_row(_cells(found)) for found in findings),
        "",
        "## Or luck?",
        "",
        "The best of many trials looks good even where there is nothing to find. *Deflated Sharpe* is the probability that the winner's "
        "Sharpe ratio beats what the best of so many trials would reach by luck; from 95 % on it is told from luck. *Overfitting* is how "
        "often, over all ways to split the days in halves, the set that was best in one half does worse than most in the other; from 50 % "
        "on the choice tells nothing. The walk-forward chooses on 20 days and earns, or does not, on the 10 days after.",
        "",
        *(line for found in findings for line in _luck(found)),
        "",
        "## One set for all",
        "",
        _global(best) + (f" {luck.words}" if luck else ""),
        "",
    ]
    return "\n".join(lines)


def _cells(found: Finding) -> tuple[str, ...]:
    if found.winner is None:
        return found.instrument, "no winner", *([""] * (2 + len(FIGURES)))
    luck = found.luck
    return (
        found.instrument,
        f"`{found.winner.param_key}`",
        *figures(found.winner),
        _share(luck.deflated_sharpe if luck else None),
        _share(luck.pbo if luck else None),
    )


def figures(run: TrialRun) -> tuple[str, ...]:
    """Return a run's figures as text, under FIGURES."""
    one = run.summary
    return (
        str(one.trades),
        f"{one.pnl_total:+.2%}",
        f"{one.calmar:.2f}",
        f"{one.profit_factor:.2f}",
        f"{one.win_rate:.0%}",
        f"{one.max_drawdown:.2%}",
    )


def _luck(found: Finding) -> list[str]:
    if found.winner is None:
        best = found.best
        if best.summary.coverage < MIN_COVERAGE:
            return [
                f"- **{found.instrument}**: its candles cover {best.summary.coverage:.0%} of the sessions, too little to judge by; "
                "back-fill the window and try again. An earlier best configuration is left to expire."
            ]
        return [
            f"- **{found.instrument}**: no set qualifies; the best of {found.runs} made {best.summary.pnl_total:+.2%} in "
            f"{best.summary.trades} trades. An earlier best configuration is left to expire."
        ]
    words = found.luck.words if found.luck else "How much of it is luck is not known."
    return [f"- **{found.instrument}**: {words}", *map(_fold, found.luck.walk_forward if found.luck else [])]


def _fold(fold: FoldResult) -> str:
    return (
        f"  - {_day(fold.fit_start)} to {_day(fold.fit_end)} chose `{fold.param_key}` ({fold.fit_pnl:+.2%}); "
        f"to {_day(fold.test_end)} it made {fold.test_pnl:+.2%}."
    )


def _global(best: GlobalWinner | None) -> str:
    if best is None:
        return "No set that ran on every instrument earned on average; there is no global configuration."
    return (
        f"`{best.param_key}` has the highest mean calmar, {best.mean_calmar:.2f}, over {_together(best.instruments)}, "
        f"at a mean return of {best.mean_pnl:+.2%}."
    )


def _together(instruments: Sequence[str]) -> str:
    return ", ".join(instruments) if len(instruments) <= NAMED else f"all {len(instruments)} instruments"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _share(value: float | None) -> str:
    return "not known" if value is None else assessment.percent(value)


def _time(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%d %b")
