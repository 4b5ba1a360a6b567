"""Parameter sets over all instruments, taken in one by one: means that are plain ones, and the best of them, against twins that look at all runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import fsum

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core.documents import Params, SpanSummary, encode
from hotbandd.core.means import GlobalWinner, Means
from hotbandd.core.param_key import param_key
from hotbandd.core.trial_documents import TrialRun
from kernels.luck import sharpe
from tests.core.test_winners import AUD, EUR, JPY, PAIRS, everywhere, params_of, run_of, runs, summary_of


def taken_in(runs: Iterable[TrialRun]) -> Means:
    """Return the means of runs in any order, taken in instrument by instrument."""
    means = Means()
    for _, mine in itertools.groupby(sorted(runs, key=lambda run: run.instrument), key=lambda run: run.instrument):
        means.add(list(mine))
    return means


def global_winner(runs: Iterable[TrialRun]) -> GlobalWinner | None:
    return taken_in(runs).winner()


def averaged(runs: Iterable[TrialRun]) -> list[TrialRun]:
    return taken_in(runs).runs()


def mean_summary(runs: Sequence[TrialRun]) -> SpanSummary:
    """Return the means of runs of one set, each counted as if on an instrument of its own."""
    (found,) = averaged(
        msgspec.structs.replace(run, instrument=f"A{i:04d}_USD", params=params_of()) for i, run in enumerate(runs)
    )
    return found.summary


def figures(least: float, most: float) -> st.SearchStrategy[float]:
    """Return floats that lie so few bits apart that a sum of a dozen is kept exactly."""
    return st.floats(least, most).map(lambda value: value if abs(value) > 1e-12 else 0.0)


UNIT = figures(0.0, 1.0)
COUNT = st.integers(0, 500_000)
SUMMARIES = st.builds(
    SpanSummary,
    trades=COUNT,
    win_rate=UNIT,
    pnl_total=figures(-1e6, 1e6),
    max_drawdown=figures(0.0, 1e6),
    calmar=figures(-100.0, 100.0),
    profit_factor=figures(0.0, 1000.0),
    avg_hold_min=figures(0.0, 525_600.0),
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


def naive_summary(summaries: Sequence[SpanSummary]) -> SpanSummary:
    means = [fsum(column) / len(summaries) for column in zip(*map(msgspec.structs.astuple, summaries), strict=True)]
    named = dict(zip(SpanSummary.__struct_fields__, means, strict=True))
    return SpanSummary(**{name: round(mean) if name in WHOLE else mean for name, mean in named.items()})  # type: ignore[arg-type]


@given(st.lists(SUMMARIES, min_size=1, max_size=12))
def test_means_are_those_of_exact_sums_to_the_last_digit(summaries: list[SpanSummary]) -> None:
    assert mean_summary(runs_of(summaries)) == naive_summary(summaries)


@pytest.mark.parametrize(
    "pnls",
    [[1e6, 1e-9, -1e6, 0.1, 1e6, 2e-9, -1e6, -0.1], [1e6, 3e-11, 1e-27, -1e6, -3e-11]],
)
def test_a_sum_in_parts_keeps_what_others_lose(pnls: list[float]) -> None:
    assert sum(pnls) != fsum(pnls)
    assert mean_summary([run_of(pnl=pnl) for pnl in pnls]).pnl_total == fsum(pnls) / len(pnls)
    daily = [run_on(f"A{i:04d}_USD", 3, [pnl]) for i, pnl in enumerate(pnls)]
    assert [run.daily for run in averaged(daily)] == [[fsum(pnls) / len(pnls)]]


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


def test_no_runs_change_nothing() -> None:
    means = Means()
    means.add([])
    assert (means.winner(), means.runs()) == (None, [])
    means.add([run_of(3, EUR)])
    means.add([])
    assert [run.params for run in means.runs()] == [params_of(3)]


def test_an_instrument_that_does_not_follow_in_the_alphabet_is_refused() -> None:
    means = Means()
    means.add([run_of(3, EUR)])
    for name in (AUD, EUR):
        with pytest.raises(ValueError, match=f"{name} does not follow EUR_USD"):
            means.add([run_of(3, name)])
    assert means.winner() == global_winner([run_of(3, EUR)])


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

DAYS = st.lists(st.sampled_from([-0.25, 0.0, 0.1, 0.7, 1e-9]), max_size=6)


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
        expected = [fsum(run.daily[len(run.daily) - back] for run in mine) / len(mine) for back in range(days, 0, -1)]
        assert mean.daily == expected
        assert mean.sharpe == sharpe(np.array(mean.daily, dtype=np.float64))
        assert mean.summary == naive_summary([run.summary for run in mine])
        assert (mean.params, mean.param_key) == (mine[0].params, mine[0].param_key)


def test_a_set_that_one_instrument_lacks_is_not_averaged() -> None:
    runs = [run_on(AUD, 3, [1.0]), run_on(EUR, 3, [1.0]), run_on(JPY, 6, [1.0])]
    assert averaged(runs) == []
    assert [run.params.direction_lookback for run in averaged(runs[:2])] == [3]
    assert averaged([]) == []


def test_a_set_that_comes_only_with_a_later_instrument_is_none_of_all() -> None:
    means = Means()
    means.add([run_on(AUD, 3, [1.0]), run_on(AUD, 6, [1.0])])
    means.add([run_on(EUR, 6, [2.0]), run_on(EUR, 12, [2.0])])
    means.add([run_on(JPY, n, [3.0]) for n in (3, 6, 12)])
    assert [(run.params, run.daily) for run in means.runs()] == [(params_of(6), [2.0])]


def test_averaged_sets_are_in_the_order_of_their_keys_whatever_the_order_of_runs() -> None:
    runs = [run_on(pair, n, [0.5]) for n in (6, 12, 3) for pair in PAIRS]
    found = averaged(runs)
    assert [run.params.direction_lookback for run in found] == [12, 3, 6]
    assert averaged(reversed(runs)) == found


def test_means_of_days_are_those_of_the_last_ones_that_all_instruments_have() -> None:
    (found,) = averaged([run_on(AUD, 3, [9.0, 1.0, 2.0]), run_on(EUR, 3, [3.0, 0.0])])
    assert found.daily == [2.0, 1.0]
    (found,) = averaged([run_on(AUD, 3, [1.0, 2.0]), run_on(EUR, 3, [9.0, 3.0, 0.0])])
    assert found.daily == [2.0, 1.0]
    (found,) = averaged([run_on(AUD, 3, [9.0, 1.0]), run_on(EUR, 3, [])])
    assert (found.daily, found.sharpe) == ([], 0.0)


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


def test_runs_over_too_few_candles_never_win_on_average() -> None:
    assert global_winner([run_of(3, EUR, calmar=50.0, coverage=0.79)]) is None
    assert global_winner([run_of(3, AUD), run_of(3, EUR, coverage=0.79), run_of(3, JPY)]) is None
    assert global_winner([run_of(3, AUD, coverage=0.8)]) is not None


def test_a_set_that_is_let_go_leaves_the_others_as_they_are() -> None:
    short, whole = run_on(AUD, 3, [1.0, 2.0], coverage=0.5, calmar=3.0), run_on(AUD, 6, [4.0], calmar=5.0)
    later = run_on(EUR, 6, [2.0], calmar=2.0)
    found = taken_in([short, whole, later])
    (mean,) = found.runs()
    assert (mean.params, mean.daily, mean.summary.calmar) == (params_of(6), [3.0], 3.5)
    best = found.winner()
    assert best is not None
    assert (best.params, best.mean_calmar) == (params_of(6), 3.5)
    assert global_winner([whole, short, msgspec.structs.replace(later, params=params_of(3))]) is None
