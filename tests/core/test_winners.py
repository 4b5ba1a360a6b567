"""Winners of trials, each against a plain twin that looks at all runs."""

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
from hotbandd.core.winners import GlobalWinner, global_winner, winner

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


# ---- the winner over all instruments --------------------------------------------------------------------------------


def naive_global_winner(runs: list[TrialRun]) -> GlobalWinner | None:
    pairs = sorted({run.instrument for run in runs})
    best: GlobalWinner | None = None
    for params in [run.params for run in sorted(runs, key=lambda run: run.param_key)]:
        newest = []
        for pair in pairs:
            mine = [run for run in runs if run.params == params and run.instrument == pair]
            newest += [next(run for run in mine if run.ts == max(other.ts for other in mine))] if mine else []
        if len(newest) < len(pairs):
            continue
        calmar = sum(run.summary.calmar for run in newest) / len(pairs)
        pnl = sum(run.summary.pnl_total for run in newest) / len(pairs)
        if pnl > 0 and (best is None or (calmar, pnl) > (best.mean_calmar, best.mean_pnl)):
            best = GlobalWinner(newest[0].param_key, params, calmar, pnl, tuple(pairs))
    return best


@given(runs())
def test_the_global_winner_is_that_of_a_plain_search(found: list[TrialRun]) -> None:
    assert global_winner(found) == naive_global_winner(found)


@given(runs(pairs=PAIRS[:2]).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_global_winner_does_not_depend_on_the_order_of_runs(found: tuple[list[TrialRun], list[TrialRun]]) -> None:
    one, other = found
    assert global_winner(iter(one)) == global_winner(iter(other))


def everywhere(lookback: int, calmars: tuple[float, ...], pnl: float = 0.25) -> list[TrialRun]:
    return [run_of(lookback, pair, calmar=calmar, pnl=pnl) for pair, calmar in zip(PAIRS, calmars, strict=False)]


def test_a_set_that_one_instrument_lacks_cannot_win_however_good_it_is() -> None:
    lacking, complete = everywhere(3, (90.0, 90.0)), everywhere(12, (0.5, 1.0, 1.5))
    assert global_winner(lacking + complete) == GlobalWinner(param_key(params_of(12)), params_of(12), 1.0, 0.25, PAIRS)
    assert global_winner(lacking + complete[2:]) is None
    found = global_winner(lacking)
    assert found is not None
    assert found.instruments == (AUD, EUR)


def test_a_mean_pnl_of_nothing_or_less_wins_nothing() -> None:
    assert global_winner([]) is None
    assert global_winner(everywhere(3, (9.0, 9.0, 9.0), pnl=0.0)) is None
    good, bad = everywhere(12, (0.5, 0.5, 0.5)), everywhere(3, (9.0, 9.0, 9.0), pnl=-0.25)
    found = global_winner(bad + good)
    assert found is not None
    assert found.params == params_of(12)


def test_a_loss_on_one_instrument_is_made_up_for_by_the_others() -> None:
    found = global_winner([run_of(3, AUD, calmar=-1.0, pnl=-0.25, trades=1), run_of(3, EUR, calmar=2.0, pnl=0.5)])
    assert found is not None
    assert (found.mean_calmar, found.mean_pnl) == (0.5, 0.125)


def winning_lookback(*sets: list[TrialRun]) -> int:
    found = [global_winner(itertools.chain(*order)) for order in itertools.permutations(sets)]
    assert found == found[:1] * len(found)
    assert found[0] is not None
    return found[0].params.direction_lookback


def test_a_tie_of_means_goes_to_the_higher_mean_pnl_and_then_to_the_smaller_key() -> None:
    low, high = everywhere(3, (1.0, 2.0, 3.0), pnl=0.25), everywhere(6, (3.0, 1.0, 2.0), pnl=0.5)
    assert winning_lookback(low, high) == 6
    assert winning_lookback(everywhere(3, (1.0,) * 3), everywhere(12, (1.0,) * 3)) == 12
    percentile = Params(c_min="p80", direction_lookback=6, dir_threshold_bps=2.0)
    assert param_key(params_of(3)) < param_key(percentile)
    assert (
        winning_lookback(everywhere(3, (1.0,) * 3), [run_of(instrument=pair, params=percentile) for pair in PAIRS]) == 3
    )


def test_means_of_the_same_numbers_are_equal_wherever_each_occurs() -> None:
    assert (0.1 + 0.2) + 0.3 != (0.3 + 0.2) + 0.1
    assert winning_lookback(everywhere(3, (0.1, 0.2, 0.3), pnl=0.25), everywhere(6, (0.3, 0.2, 0.1), pnl=0.5)) == 6


def test_sets_are_told_apart_by_their_parameters_and_named_by_the_key_of_the_first_instrument() -> None:
    params, explicit = params_of(3), params_of(3, cost_bps=1.25)
    same = [
        run_of(instrument=JPY, params=params, key="k:windows=2"),
        run_of(instrument=AUD, params=params, key="k:cost_bps=1.25"),
    ]
    found = global_winner(same)
    assert found is not None
    assert (found.param_key, found.instruments) == ("k:cost_bps=1.25", (AUD, JPY))
    other = [run_of(instrument=pair, params=explicit, key="k:cost_bps=1.25") for pair in (AUD, JPY)]
    assert global_winner([same[0], other[0]]) is None
    assert global_winner(same + other) == global_winner(other + same)


def test_where_a_set_ran_twice_on_an_instrument_the_newest_run_counts() -> None:
    old, new = run_of(3, AUD, ts=1, run_id="a", calmar=50.0), run_of(3, AUD, ts=2, run_id="b", calmar=1.0)
    other = run_of(3, EUR, calmar=3.0)
    for order in itertools.permutations([old, new, other]):
        found = global_winner(order)
        assert found is not None
        assert found.mean_calmar == 2.0


def test_runs_over_too_few_candles_never_win() -> None:
    short = run_of(3, EUR, calmar=50.0, coverage=0.79)
    whole = run_of(6, EUR, coverage=0.8)
    assert winner([short, whole]) == whole
    assert winner([short]) is None
    assert global_winner([short]) is None
