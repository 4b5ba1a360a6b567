"""Winners of an instrument's trials, against a plain twin that looks at all runs."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import winners
from hotbandd.core.documents import Params, SpanSummary, encode
from hotbandd.core.param_key import param_key
from hotbandd.core.trial_documents import TrialRun
from hotbandd.core.winners import winner

PAIRS = ("AUD_USD", "EUR_USD", "USD_JPY")
AUD, EUR, JPY = PAIRS


def params_of(lookback: int = 12, **changed: Any) -> Params:
    return Params(c_min=0.5, direction_lookback=lookback, dir_threshold_bps=2.0, **changed)


def summary_of(
    calmar: float = 1.0, pnl: float = 0.25, trades: int = 9, profit_factor: float = 2.0, coverage: float = 1.0
) -> SpanSummary:
    return SpanSummary(
        trades=trades,
        win_rate=0.5,
        pnl_total=pnl,
        max_drawdown=0.1,
        calmar=calmar,
        profit_factor=profit_factor,
        avg_hold_min=30.0,
        exposure=0.1,
        max_losing_streak=2,
        coverage=coverage,
    )


def run_of(
    lookback: int = 12,
    instrument: str = EUR,
    *,
    run_id: str = "r",
    ts: int = 0,
    params: Params | None = None,
    key: str | None = None,
    **figures: Any,
) -> TrialRun:
    params = params or params_of(lookback)
    return TrialRun(
        run_id=run_id,
        ts=ts,
        end_ms=ts,
        instrument=instrument,
        param_key=key or param_key(params),
        params=params,
        window_days=90,
        summary=summary_of(**figures),
        spec="0123456789ab",
    )


def everywhere(lookback: int, calmars: tuple[float, ...], pnl: float = 0.25) -> list[TrialRun]:
    return [run_of(lookback, pair, calmar=calmar, pnl=pnl) for pair, calmar in zip(PAIRS, calmars, strict=False)]


# Few values, exact in binary, so that ties are common and no mean is rounded.
SUMMARIES = st.builds(
    summary_of,
    calmar=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
    pnl=st.sampled_from([-0.25, 0.0, 0.25, 0.5]),
    trades=st.integers(3, 6),
    profit_factor=st.sampled_from([0.5, 1.0, 1.5]),
)


@st.composite
def runs(draw: st.DrawFn, pairs: tuple[str, ...] = PAIRS) -> list[TrialRun]:
    def one(i: int) -> TrialRun:
        lookback, pair = draw(st.sampled_from([3, 6, 12])), draw(st.sampled_from(pairs))
        run = run_of(lookback, pair, run_id=f"r{i}", ts=draw(st.integers(0, 2)))
        return msgspec.structs.replace(run, summary=draw(SUMMARIES))

    return [one(i) for i in range(draw(st.integers(0, 10)))]


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_a_run_reads_back_as_it_was_written() -> None:
    run = run_of(calmar=1.5)
    assert msgspec.json.decode(encode(run), type=TrialRun) == run
    assert msgspec.json.decode(encode(run))["schema"] == 1


@pytest.mark.parametrize("change", [{"schema": 2}, {"ts": -1}, {"params": {}}, {"summary": None}, {"spec": None}])
def test_a_run_that_does_not_meet_its_schema_is_refused(change: dict[str, Any]) -> None:
    document = msgspec.json.decode(encode(run_of())) | change
    with pytest.raises(msgspec.ValidationError, match=next(iter(change))):
        msgspec.convert(document, TrialRun)


@pytest.mark.parametrize(("window_days", "days"), [(1, 1), (14, 14), (29, 29), (30, 30), (31, 30), (3650, 30)])
def test_a_run_is_judged_by_its_last_thirty_days_or_by_all_where_it_is_shorter(window_days: int, days: int) -> None:
    assert winners.figure_days(window_days) == days


# ---- the winner of an instrument ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "qualified"),
    [
        ({"trades": 5, "pnl": 1e-9, "profit_factor": 1.0001}, True),
        ({"trades": 4}, False),
        ({"pnl": 0.0}, False),
        ({"pnl": -0.25}, False),
        ({"profit_factor": 1.0}, False),
        ({"calmar": -1.0}, True),
    ],
)
def test_a_run_qualifies_with_trades_enough_a_profit_and_more_won_than_lost(changed: Any, qualified: bool) -> None:
    assert winners.qualifies(summary_of(**changed), 5) is qualified
    assert winner([run_of(**changed)]) == (run_of(**changed) if qualified else None)


def naive_winner(runs: list[TrialRun], min_trades: int) -> TrialRun | None:
    ranked = sorted(runs, key=lambda run: run.run_id)
    ranked.sort(key=lambda run: run.ts, reverse=True)
    ranked.sort(key=lambda run: run.param_key)
    ranked.sort(key=lambda run: run.summary.pnl_total, reverse=True)
    ranked.sort(key=lambda run: run.summary.calmar, reverse=True)
    for run in ranked:
        figures = run.summary
        if not (figures.trades < min_trades or figures.pnl_total <= 0 or figures.profit_factor <= 1):
            return run
    return None


@given(runs(pairs=(EUR,)), st.integers(0, 7))
def test_the_winner_is_the_first_of_all_runs_sorted_that_qualifies(found: list[TrialRun], min_trades: int) -> None:
    assert winner(found, min_trades) == naive_winner(found, min_trades)


@given(runs(pairs=(EUR,)).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_winner_does_not_depend_on_the_order_of_runs(found: tuple[list[TrialRun], list[TrialRun]]) -> None:
    one, other = found
    assert winner(iter(one)) == winner(iter(other))


def first_of(*ranked: TrialRun) -> bool:
    """Tell whether the first run wins in whatever order they come."""
    return all(winner(order) == ranked[0] for order in itertools.permutations(ranked))


def test_a_tie_goes_to_the_higher_pnl_and_then_to_the_smaller_key() -> None:
    assert first_of(run_of(12, calmar=2.0, pnl=0.1), run_of(3, calmar=1.0, pnl=0.9))
    assert first_of(run_of(12, pnl=0.5), run_of(3, pnl=0.4))
    assert first_of(run_of(3, key="c0.5:l12"), run_of(6, key="c0.5:l3"), run_of(12, key="c0.6:l1"))


def test_among_equal_runs_of_one_set_the_newest_wins() -> None:
    assert first_of(run_of(ts=3, run_id="c"), run_of(ts=2, run_id="a"), run_of(ts=1, run_id="b"))
    assert first_of(run_of(run_id="a"), run_of(run_id="b"))


def test_five_trades_are_enough_unless_said_otherwise() -> None:
    few, many = run_of(3, calmar=9.0, trades=4), run_of(6, trades=5)
    assert winner([few, many]) == many
    assert winner([few, many], min_trades=4) == few
    assert winner([few, many], min_trades=6) is None


def test_runs_over_too_few_candles_never_win() -> None:
    short = run_of(3, EUR, calmar=50.0, coverage=0.79)
    whole = run_of(6, EUR, coverage=0.8)
    assert winner([short, whole]) == whole
    assert winner([short]) is None
