"""Means of runs: plain ones, whole where the figure is, and a summary like any other."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core.documents import SpanSummary, encode
from hotbandd.core.trial_documents import TrialRun
from hotbandd.core.winners import averaged, global_winner, mean_summary
from kernels.luck import sharpe
from tests.core.test_winners import AUD, EUR, JPY, PAIRS, everywhere, run_of, summary_of

UNIT = st.floats(0.0, 1.0)
COUNT = st.integers(0, 500_000)
SUMMARIES = st.builds(
    SpanSummary,
    trades=COUNT,
    win_rate=UNIT,
    pnl_total=st.floats(-1e6, 1e6),
    max_drawdown=st.floats(0.0, 1e6),
    calmar=st.floats(-100.0, 100.0),
    profit_factor=st.floats(0.0, 1000.0),
    avg_hold_min=st.floats(0.0, 525_600.0),
    exposure=UNIT,
    max_losing_streak=COUNT,
    coverage=UNIT,
)
WHOLE = {"trades", "max_losing_streak"}


def runs_of(summaries: list[SpanSummary]) -> list[TrialRun]:
    return [msgspec.structs.replace(run_of(run_id=f"r{i}"), summary=one) for i, one in enumerate(summaries)]


@given(st.lists(SUMMARIES, min_size=1, max_size=8))
def test_every_figure_is_the_plain_mean_of_the_runs(summaries: list[SpanSummary]) -> None:
    found = msgspec.structs.asdict(mean_summary(runs_of(summaries)))
    assert found.keys() == set(SpanSummary.__struct_fields__)
    for name, value in found.items():
        exact = sum(Fraction(getattr(one, name)) for one in summaries) / len(summaries)
        if name in WHOLE:
            assert type(value) is int
            assert value == round(exact)
        else:
            assert value == pytest.approx(float(exact), rel=1e-15, abs=5e-324)


@given(st.lists(SUMMARIES, min_size=1, max_size=8))
def test_means_of_valid_summaries_are_a_valid_summary(summaries: list[SpanSummary]) -> None:
    found = mean_summary(runs_of(summaries))
    assert msgspec.json.decode(encode(found), type=SpanSummary) == found


@given(
    st.lists(SUMMARIES, min_size=1, max_size=6).flatmap(lambda all_: st.tuples(st.just(all_), st.permutations(all_)))
)
def test_means_do_not_depend_on_the_order_of_runs(both: tuple[list[SpanSummary], list[SpanSummary]]) -> None:
    one, other = both
    assert mean_summary(runs_of(one)) == mean_summary(runs_of(other))


@given(SUMMARIES)
def test_the_mean_of_one_run_is_its_own_summary(summary: SpanSummary) -> None:
    assert mean_summary(runs_of([summary])) == summary


@pytest.mark.parametrize("figure", [{"calmar": 100.0}, {"calmar": -100.0}, {"profit_factor": 1000.0}])
def test_runs_at_a_limit_have_their_mean_at_the_limit(figure: dict[str, float]) -> None:
    found = mean_summary([run_of(n, **figure) for n in range(1, 8)])
    ((name, value),) = figure.items()
    assert getattr(found, name) == value


def test_whole_numbers_are_rounded_and_the_rest_is_not() -> None:
    found = mean_summary([run_of(trades=10, calmar=0.5, pnl=0.25), run_of(trades=13, calmar=1.0, pnl=-0.125)])
    assert found == msgspec.structs.replace(summary_of(calmar=0.75, pnl=0.0625), trades=12)
    assert mean_summary([run_of(trades=n) for n in (1, 1, 3)]).trades == 2


def test_no_run_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no run to average"):
        mean_summary([])


def test_means_of_the_winner_over_all_are_those_that_it_won_by() -> None:
    runs = everywhere(3, (0.1, 0.2, 0.3), pnl=0.1)
    won = global_winner(runs)
    assert won is not None
    assert won.instruments == PAIRS
    found = mean_summary(runs)
    assert (found.calmar, found.pnl_total) == (won.mean_calmar, won.mean_pnl)


def test_each_instrument_counts_alike_however_many_trades_it_has() -> None:
    found = mean_summary([run_of(3, AUD, trades=1, calmar=4.0), run_of(3, EUR, trades=999, calmar=2.0)])
    assert (found.calmar, found.trades) == (3.0, 500)


# ---- the runs of a set over all instruments -------------------------------------------------------------------------

DAYS = st.lists(st.sampled_from([-0.25, 0.0, 0.5]), max_size=6)


def run_on(pair: str, lookback: int, daily: list[float], **figures: float) -> TrialRun:
    run = run_of(lookback, pair, run_id=f"{pair}-{lookback}", **figures)
    return msgspec.structs.replace(run, daily=daily, sharpe=9.0)


@given(st.dictionaries(st.tuples(st.sampled_from(PAIRS), st.sampled_from([3, 6, 12])), st.tuples(DAYS, SUMMARIES)))
def test_sets_are_averaged_as_a_plain_loop_does_it(
    drawn: dict[tuple[str, int], tuple[list[float], SpanSummary]],
) -> None:
    runs = {at: msgspec.structs.replace(run_on(*at, daily), summary=summary) for at, (daily, summary) in drawn.items()}
    pairs = sorted({pair for pair, _ in runs})
    found = {run.params.direction_lookback: run for run in averaged(iter(runs.values()))}
    assert found.keys() == {n for n in (3, 6, 12) if pairs and all((pair, n) in runs for pair in pairs)}
    for lookback, mean in found.items():
        mine = [runs[pair, lookback] for pair in pairs]
        days = min(len(run.daily) for run in mine)
        expected = [sum(run.daily[len(run.daily) - back] for run in mine) / len(mine) for back in range(days, 0, -1)]
        assert mean.daily == pytest.approx(expected)
        assert mean.sharpe == sharpe(np.array(mean.daily, dtype=np.float64))
        assert mean.summary == mean_summary(mine)
        assert (mean.params, mean.param_key) == (mine[0].params, mine[0].param_key)


def test_a_set_that_one_instrument_lacks_is_not_averaged() -> None:
    runs = [run_on(AUD, 3, [1.0]), run_on(EUR, 3, [1.0]), run_on(JPY, 6, [1.0])]
    assert averaged(runs) == []
    assert [run.params.direction_lookback for run in averaged(runs[:2])] == [3]
    assert averaged([]) == []


def test_averaged_sets_are_in_the_order_of_their_keys_whatever_the_order_of_runs() -> None:
    runs = [run_on(pair, n, [0.5]) for n in (6, 12, 3) for pair in PAIRS]
    found = averaged(runs)
    assert [run.params.direction_lookback for run in found] == [12, 3, 6]
    assert averaged(reversed(runs)) == found


def test_means_of_days_are_those_of_the_last_ones_that_all_instruments_have() -> None:
    (found,) = averaged([run_on(AUD, 3, [9.0, 1.0, 2.0]), run_on(EUR, 3, [3.0, 0.0])])
    assert found.daily == [2.0, 1.0]
    (found,) = averaged([run_on(AUD, 3, [9.0, 1.0]), run_on(EUR, 3, [])])
    assert (found.daily, found.sharpe) == ([], 0.0)
