from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import luck
from kernels.luck import Fold
from kernels.types import Floats
from tests.kernels import naive_luck

DAY = 86_400_000

returns = st.lists(st.integers(-60, 60).map(lambda x: x / 1000), max_size=40)
varied = st.lists(st.integers(-60, 60).map(lambda x: x / 1000), min_size=3, max_size=40).filter(
    lambda x: len(set(x)) > 2
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[float]], int]:
    """Returns of few values, so that trials tie and stand still, and a number of parts."""
    parts = draw(st.sampled_from([2, 4, 6]))
    trials = draw(st.integers(2, 5))
    row = st.lists(st.integers(-2, 3).map(lambda x: x / 1000), min_size=trials, max_size=trials)
    return draw(st.lists(row, min_size=parts, max_size=3 * parts + 1)), parts


def noise(seed: int, periods: int, trials: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((periods, trials))


def steady(n: int) -> Floats:
    return np.array([(i * i * 7 + i * 13) % 101 - 40 for i in range(n)]) / 1e4


def steady_table(periods: int, trials: int) -> Floats:
    rows = [[(i * i * (j + 3) + 17 * i * j + 31 * j * j) % 211 - 100 for j in range(trials)] for i in range(periods)]
    return np.array(rows) / 1e4


def of_sharpe(shape: Floats, ratio: float) -> Floats:
    moved: Floats = shape - shape.mean() + ratio * shape.std(ddof=1)
    return moved


def of_variance(trials: int, variance: float) -> Floats:
    return of_sharpe(np.arange(trials) * math.sqrt(variance) / np.arange(trials).std(ddof=1), 0.0)


@given(returns)
def test_a_sharpe_ratio_is_that_of_the_twin(ret: list[float]) -> None:
    assert luck.sharpe(np.array(ret)) == pytest.approx(naive_luck.sharpe(ret), rel=1e-9, abs=1e-12)


@given(varied, st.floats(-1, 1))
def test_a_probabilistic_sharpe_ratio_is_that_of_the_twin(ret: list[float], benchmark: float) -> None:
    expected = naive_luck.probabilistic_sharpe(ret, benchmark)
    assert luck.probabilistic_sharpe(np.array(ret), benchmark) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.floats(0, 10), st.integers(1, 10_000))
def test_the_expected_best_is_that_of_the_twin(variance: float, trials: int) -> None:
    expected = naive_luck.expected_best_sharpe(variance, trials)
    assert luck.expected_best_sharpe(variance, trials) == pytest.approx(expected, rel=1e-9)


@given(varied, st.lists(st.one_of(st.just(math.nan), st.floats(-1, 1)), min_size=1, max_size=30))
def test_a_deflated_sharpe_ratio_is_that_of_the_twin(ret: list[float], sharpes: list[float]) -> None:
    known = [x for x in sharpes if not math.isnan(x)]
    variance = float(naive_luck.moments(known)[1][2] * len(known) / (len(known) - 1)) if len(known) > 1 else 0.0
    best = naive_luck.expected_best_sharpe(variance, len(sharpes))
    expected = naive_luck.probabilistic_sharpe(ret, best) if len(known) > 1 or len(sharpes) == 1 else math.nan
    found = luck.deflated_sharpe(np.array(ret), np.array(sharpes))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12, nan_ok=True)


@given(tables())
def test_overfitting_is_that_of_the_twin(table: tuple[list[list[float]], int]) -> None:
    rows, parts = table
    pbo, logits, splits = naive_luck.overfitting(rows, parts)
    found = luck.overfitting(np.array(rows), parts)
    assert found.logits == pytest.approx(logits, abs=1e-12)
    assert (found.pbo, found.splits) == (pbo, splits)


@pytest.mark.parametrize(("periods", "trials", "parts"), [(40, 7, 4), (61, 12, 6), (35, 30, 8)])
def test_overfitting_of_noise_is_that_of_the_twin(periods: int, trials: int, parts: int) -> None:
    table = noise(3, periods, trials) * 0.01
    pbo, logits, splits = naive_luck.overfitting(table.tolist(), parts)
    found = luck.overfitting(table, parts)
    assert found.logits == pytest.approx(logits, abs=1e-12)
    assert (found.pbo, found.splits) == (pbo, splits)


@given(
    st.integers(-100 * DAY, 100 * DAY),
    st.one_of(st.integers(0, 90 * DAY), st.integers(0, 90).map(lambda days: days * DAY)),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_folds_are_those_of_the_twin(start: int, span: int, fit_days: int, test_days: int) -> None:
    found = luck.walk_forward(start, start + span, fit_days, test_days)
    assert found == naive_luck.walk_forward(start, start + span, fit_days, test_days)


# By RiskLabAI 2.0.1, probabilistic_sharpe_ratio, and to 15 digits also by jsharpe 0.6.3, from moments by SciPy 1.17.1.
@pytest.mark.parametrize(
    ("n", "benchmark", "expected"),
    [
        (12, 0.0, 0.4231695961876832),
        (12, 0.1, 0.30028009873070793),
        (30, 0.0, 0.5080160197927517),
        (30, 0.1, 0.3020140741494196),
        (250, 0.0, 0.9999687659014723),
        (250, 0.1, 0.9930052024237667),
    ],
)
def test_a_probabilistic_sharpe_ratio_is_that_of_other_libraries(n: int, benchmark: float, expected: float) -> None:
    assert luck.probabilistic_sharpe(steady(n), benchmark) == pytest.approx(expected, rel=1e-12)


# By jsharpe 0.6.3, expected_maximum_sharpe_ratio.
@pytest.mark.parametrize(
    ("variance", "trials", "expected"),
    [
        (1.0, 2, 0.5197553442805939),
        (0.04, 10, 0.31491966026915),
        (0.002, 100, 0.11317200186513214),
        (0.01, 1000, 0.32551215136527234),
    ],
)
def test_the_expected_best_is_that_of_another_library(variance: float, trials: int, expected: float) -> None:
    assert luck.expected_best_sharpe(variance, trials) == pytest.approx(expected, rel=1e-12)


def test_a_deflated_sharpe_ratio_is_that_of_other_libraries() -> None:
    sharpes = np.array([i * 37 % 29 - 14 for i in range(40)]) / 200
    # by RiskLabAI 2.0.1, against the benchmark by jsharpe 0.6.3
    assert luck.deflated_sharpe(steady(30), sharpes) == pytest.approx(0.31519482548781796, rel=1e-12)


# By RiskLabAI 2.0.1, probability_of_backtest_overfitting, and logit by logit to 1e-15 also by purgedcv 0.1.11: the
# share, the sum of the logits, and their sum weighted by their places 0, 1 …
@pytest.mark.parametrize(
    ("periods", "trials", "parts", "pbo", "total", "weighted"),
    [
        (48, 9, 6, 2 / 20, 35.15559323737951, 356.1588455330236),
        (64, 10, 8, 15 / 70, 86.6016883141071, 3340.1023152782527),
        (96, 20, 12, 251 / 924, 523.8603944782695, 228955.76940164014),
    ],
)
def test_overfitting_is_that_of_other_libraries(
    periods: int, trials: int, parts: int, pbo: float, total: float, weighted: float
) -> None:
    found = luck.overfitting(steady_table(periods, trials), parts)
    assert found.pbo == pytest.approx(pbo, rel=1e-12)
    assert found.logits.sum() == pytest.approx(total, rel=1e-12)
    assert (found.logits * np.arange(found.splits)).sum() == pytest.approx(weighted, rel=1e-12)


def test_the_example_of_the_paper_on_deflated_sharpe_ratios_comes_out() -> None:
    # Bailey & López de Prado (2014), The Deflated Sharpe Ratio: five years of 250 days with an annual Sharpe ratio of
    # 2.5, skewness -3 and kurtosis 10, which returns of two values have; the trials have an annual variance of ½. Of 100
    # trials the best is expected at 0.1132, and the result is 0.9004; of 46 it is 0.9505.
    ret = of_sharpe(np.array([-1.0] * 105 + [0.0] * 1145), 2.5 / math.sqrt(250))
    assert luck.expected_best_sharpe(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)
    assert luck.deflated_sharpe(ret, of_variance(100, 0.5 / 250)) == pytest.approx(0.9004, abs=5e-5)
    assert luck.deflated_sharpe(ret, of_variance(46, 0.5 / 250)) == pytest.approx(0.9505, abs=5e-5)


def test_the_best_of_many_draws_is_about_as_high_as_expected() -> None:
    highest = noise(0, 20_000, 100).max(axis=1).mean()
    assert luck.expected_best_sharpe(1.0, 100) == pytest.approx(highest, rel=0.02)
    assert luck.expected_best_sharpe(9.0, 100) == pytest.approx(3 * highest, rel=0.02)


@pytest.mark.parametrize("ret", [[], [0.3], [0.1] * 3, [0.1] * 10, [0.0] * 5, [-0.7] * 1000])
def test_returns_without_deviation_have_no_sharpe_ratio_and_an_unknown_probability(ret: list[float]) -> None:
    assert luck.sharpe(np.array(ret)) == 0.0
    assert math.isnan(luck.probabilistic_sharpe(np.array(ret), -1.0))
    assert math.isnan(luck.deflated_sharpe(np.array(ret), np.array([0.1, 0.2])))


def test_two_returns_have_a_sharpe_ratio_but_no_probability() -> None:
    ret = np.array([0.1, 0.3])
    assert luck.sharpe(ret) == pytest.approx(math.sqrt(2))
    assert math.isnan(luck.probabilistic_sharpe(ret, 0.0))
    assert luck.probabilistic_sharpe(np.array([0.1, 0.3, 0.2]), 0.0) > 0.5


def test_an_unknown_return_makes_the_sharpe_ratio_unknown() -> None:
    ret = np.array([0.1, math.nan, 0.3, 0.2])
    assert math.isnan(luck.sharpe(ret))
    assert math.isnan(luck.probabilistic_sharpe(ret, 0.0))


def test_a_spread_that_vanishes_leaves_the_probability_unknown() -> None:
    # of two values, with skewness · Sharpe ratio = 2: what is under the root is 0, and here rounds to less
    ret = np.array([1.0] * 3 + [0.0] * 4) + 3.274708970518775
    assert luck.sharpe(ret) > 1.0
    assert math.isnan(luck.probabilistic_sharpe(ret, 0.0))


@given(varied, st.floats(-1, 1), st.floats(0.001, 1))
def test_a_higher_benchmark_is_less_probably_exceeded(ret: list[float], low: float, more: float) -> None:
    at_low, at_high = (luck.probabilistic_sharpe(np.array(ret), low + x) for x in (0.0, more))
    assert 0.0 <= at_high <= at_low <= 1.0
    assert luck.probabilistic_sharpe(np.array(ret), luck.sharpe(np.array(ret))) == 0.5


def test_a_skewness_to_the_left_and_fat_tails_lower_the_probability() -> None:
    even, left, fat = (
        of_sharpe(np.array(shape), 0.3) for shape in ([-1.0, 1.0] * 20, [-4.0] + [0.1] * 39, [-4.0, 4.0] + [0.0] * 38)
    )
    probability = luck.probabilistic_sharpe(even, 0.0)
    assert luck.probabilistic_sharpe(left, 0.0) < probability
    assert luck.probabilistic_sharpe(fat, 0.0) < probability


@given(st.floats(0.001, 10), st.integers(1, 10_000), st.integers(1, 1000))
def test_more_trials_let_the_best_show_more(variance: float, trials: int, more: int) -> None:
    assert luck.expected_best_sharpe(variance, trials) < luck.expected_best_sharpe(variance, trials + more)


@pytest.mark.parametrize("trials", [1, 2, 50])
def test_trials_that_are_all_alike_or_only_one_let_the_best_show_nothing(trials: int) -> None:
    assert luck.expected_best_sharpe(0.0, trials) == 0.0
    assert luck.expected_best_sharpe(4.0, 1) == 0.0


@pytest.mark.parametrize(("variance", "trials"), [(1.0, 0), (1.0, -3), (-1e-9, 10), (-1.0, 1)])
def test_no_trials_or_a_negative_variance_are_refused(variance: float, trials: int) -> None:
    with pytest.raises(ValueError, match="one trial or more and a variance of 0 or more"):
        luck.expected_best_sharpe(variance, trials)


def test_of_a_single_trial_nothing_is_deflated() -> None:
    ret = steady(30)
    plain = luck.probabilistic_sharpe(ret, 0.0)
    assert luck.deflated_sharpe(ret, np.array([luck.sharpe(ret)])) == plain
    assert luck.deflated_sharpe(ret, np.array([math.nan])) == plain


def test_a_deflated_sharpe_ratio_without_trials_is_refused() -> None:
    with pytest.raises(ValueError, match="one trial or more"):
        luck.deflated_sharpe(steady(30), np.array([]))


def test_trials_without_a_sharpe_ratio_count_as_trials_only() -> None:
    ret, sharpes = steady(250), np.array([0.1, 0.2, 0.25])
    found = [luck.deflated_sharpe(ret, np.append(sharpes, [math.nan] * n)) for n in (0, 1, 10, 1000)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4
    best = luck.expected_best_sharpe(float(sharpes.var(ddof=1)), 13)
    assert found[2] == luck.probabilistic_sharpe(ret, best)


@pytest.mark.parametrize("sharpes", [[0.1, math.nan], [math.nan, math.nan, math.nan]])
def test_a_variance_that_is_unknown_leaves_the_probability_unknown(sharpes: list[float]) -> None:
    assert math.isnan(luck.deflated_sharpe(steady(250), np.array(sharpes)))


def test_splits_come_in_the_order_of_their_blocks_and_tied_trials_share_a_rank() -> None:
    first = [[1.0, 0.0, 0.0], [3.0, 2.0, 4.0]]  # Sharpe ratios √2, √½, √½
    second = [[-1.0, 0.0, 2.0], [-3.0, 2.0, 4.0]]  # -√2, √½, √4½
    oldest = [[-1e6, 1e6, 1e6]]  # dropped
    found = luck.overfitting(np.array(oldest + first + second), 2)
    assert found.logits == pytest.approx([math.log(1 / 3), math.log(1.5 / 2.5)], rel=1e-12)
    assert (found.pbo, found.splits) == (1.0, 2)


def test_of_trials_that_tie_in_sample_the_first_is_chosen() -> None:
    table = np.array([[0.1, 0.1], [0.3, 0.3], [0.1, 0.2], [0.3, 0.5]])
    assert luck.overfitting(table, 2).logits[0] == pytest.approx(-math.log(2))
    assert luck.overfitting(table[:, ::-1], 2).logits[0] == pytest.approx(math.log(2))


def test_a_trial_that_stands_still_in_a_part_has_no_sharpe_ratio_there() -> None:
    still = np.concatenate((np.full(3000, 0.1), np.tile([-0.2, 0.1], 1500)))
    good = np.tile([-0.1, 0.2], 3000)
    found = luck.overfitting(np.column_stack((still, good)), 2)
    assert found.logits == pytest.approx([math.log(2)] * 2)


def test_a_trial_that_moves_little_has_a_high_sharpe_ratio() -> None:
    even = np.concatenate((np.tile([1.0, 1.0 + 1e-5], 20), np.tile([-0.2, 0.1], 20)))
    good = np.tile([-0.1, 0.2], 40)
    found = luck.overfitting(np.column_stack((even, good)), 2)
    assert found.logits == pytest.approx([-math.log(2)] * 2)


def test_parts_of_one_return_rank_all_trials_alike() -> None:
    found = luck.overfitting(np.array([[0.1, -0.2, 0.3], [0.4, 0.1, -0.5]]), 2)
    assert found.logits.tolist() == [0.0, 0.0]
    assert found.pbo == 1.0


@pytest.mark.parametrize("trials", [2, 37, 1001])
def test_equal_trials_are_tied_wherever_they_stand(trials: int) -> None:
    found = luck.overfitting(np.repeat(noise(1, 50, 1), trials, axis=1), 8)
    assert not found.logits.any()
    assert found.pbo == 1.0


def test_trials_that_differ_only_in_size_are_tied() -> None:
    found = luck.overfitting(noise(1, 48, 1) * np.array([0.1, 0.3, 0.7, 1.1, 3.0]), 8)
    assert not found.logits.any()


def test_the_size_of_returns_does_not_matter() -> None:
    table = noise(5, 64, 30)
    assert luck.overfitting(table * 0.003, 8).logits.tolist() == luck.overfitting(table, 8).logits.tolist()


def test_the_split_in_portions_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    table = noise(6, 90, 30)
    whole = luck.overfitting(table, 10)
    for cells in (1, 100, 30 * 125, 30 * 126, 30 * 127):  # of 126 splits with what they leave
        monkeypatch.setattr(luck, "_CELLS", cells)
        assert luck.overfitting(table, 10).logits.tolist() == whole.logits.tolist()


def test_returns_are_left_as_they_were_and_may_lie_in_any_order() -> None:
    table = noise(7, 50, 20)
    before = table.copy()
    found = luck.overfitting(table, 8).logits.tolist()
    assert (table == before).all()
    assert luck.overfitting(np.asfortranarray(table), 8).logits.tolist() == found


def test_a_thousand_trials_in_sixteen_parts_need_little_memory() -> None:
    table = noise(8, 90, 1000)
    tracemalloc.start()
    found = luck.overfitting(table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.splits == len(found.logits) == math.comb(16, 8)
    assert peak < 20e6  # the Sharpe ratios of all splits would be 103 MB


def test_what_noise_selects_is_as_often_below_the_middle_as_above() -> None:
    found = [luck.overfitting(noise(seed, 64, 20), 8).pbo for seed in range(60)]
    assert 0.4 < sum(found) / len(found) < 0.6


def test_the_best_of_noise_seldom_looks_good_once_deflated() -> None:
    deflated, plain = [], []
    for seed in range(100):
        table = noise(seed, 250, 50)
        sharpes = np.array([luck.sharpe(trial) for trial in table.T])
        winner = table[:, sharpes.argmax()]
        deflated.append(luck.deflated_sharpe(winner, sharpes) > 0.95)
        plain.append(luck.probabilistic_sharpe(winner, 0.0) > 0.95)
    assert sum(deflated) <= 5
    assert sum(plain) >= 80


def test_a_trial_that_is_truly_good_is_told_from_luck() -> None:
    table = noise(0, 160, 50)
    table[:, 7] += 0.5
    sharpes = np.array([luck.sharpe(trial) for trial in table.T])
    assert sharpes.argmax() == 7
    assert luck.deflated_sharpe(table[:, 7], sharpes) > 0.99
    found = luck.overfitting(table)
    assert found.pbo < 0.01
    assert np.median(found.logits) == pytest.approx(math.log(50))


@pytest.mark.parametrize("parts", [-2, 0, 1, 3, 15])
def test_parts_are_even(parts: int) -> None:
    with pytest.raises(ValueError, match="an even number of parts from 2"):
        luck.overfitting(noise(0, 40, 3), parts)


@pytest.mark.parametrize(("periods", "trials"), [(15, 3), (0, 3), (32, 1), (32, 0)])
def test_periods_and_trials_are_enough_to_compare(periods: int, trials: int) -> None:
    with pytest.raises(ValueError, match="a period or more for each of 16 parts and two trials or more"):
        luck.overfitting(noise(0, periods, trials))


def test_as_many_periods_as_parts_and_two_trials_are_enough() -> None:
    assert luck.overfitting(noise(0, 16, 2)).splits == 12870


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_an_unknown_return_is_refused(unknown: float) -> None:
    table = noise(0, 32, 3)
    table[20, 1] = unknown
    with pytest.raises(ValueError, match="every return is a finite number"):
        luck.overfitting(table)


def test_folds_go_back_from_the_end_by_the_days_of_a_test() -> None:
    assert luck.walk_forward(5 * DAY - 1, 50 * DAY) == [
        Fold(10 * DAY, 30 * DAY, 40 * DAY),
        Fold(20 * DAY, 40 * DAY, 50 * DAY),
    ]
    assert luck.walk_forward(0, 50 * DAY)[0] == (0, 20 * DAY, 30 * DAY)


def test_a_span_too_short_for_a_fit_and_a_test_has_no_folds() -> None:
    assert luck.walk_forward(1, 30 * DAY) == luck.walk_forward(DAY, 0) == []
    assert luck.walk_forward(0, 30 * DAY) == [(0, 20 * DAY, 30 * DAY)]


@pytest.mark.parametrize(("fit_days", "test_days"), [(0, 10), (20, 0), (-1, 1), (1, -1)])
def test_folds_of_no_days_are_refused(fit_days: int, test_days: int) -> None:
    with pytest.raises(ValueError, match="a day or more to fit and to test"):
        luck.walk_forward(0, 90 * DAY, fit_days, test_days)
