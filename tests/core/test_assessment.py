"""How much of a winner may be luck: told from noise, folded as a plain loop does it, and said in words."""

from __future__ import annotations

import math
import re
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import assessment
from hotbandd.core.candles import DAY_MS, Floats
from hotbandd.core.trial_documents import FoldResult, Luck, TrialRun
from kernels import luck
from tests.core.test_winners import run_of

END = 1_718_800_200_000
SEVERAL = 20


def runs_of(daily: Floats, sharpes: list[float] | None = None) -> list[TrialRun]:
    """Return a run for each row of daily returns, keyed k00, k01 and so on."""
    told = sharpes or [luck.sharpe(row) for row in daily]
    return [
        msgspec.structs.replace(run_of(key=f"k{i:02d}", run_id=f"r{i}"), daily=row.tolist(), sharpe=sharpe)
        for i, (row, sharpe) in enumerate(zip(daily, told, strict=True))
    ]


def noise(seed: int, days: int = 60, trials: int = SEVERAL) -> Floats:
    return np.random.default_rng(seed).normal(0.0, 0.01, (trials, days))


def assessed(daily: Floats, ret: Floats | None = None) -> Luck:
    """Assess the row with the highest Sharpe ratio, whose trades return what its days do unless said otherwise."""
    runs = runs_of(daily)
    best = max(range(len(runs)), key=lambda i: runs[i].sharpe)
    return assessment.assess(assessment.tried(runs), daily[best] if ret is None else ret, END)


# ---- the verdict ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_the_best_of_noise_is_called_indistinguishable_from_luck(seed: int) -> None:
    found = assessed(noise(seed))
    assert found.words.startswith(f"Indistinguishable from luck: best of {SEVERAL} trials; ")
    assert found.trials == SEVERAL
    assert found.deflated_sharpe is not None
    assert found.deflated_sharpe < 0.95


@pytest.mark.parametrize("seed", range(8))
def test_one_that_drifts_up_day_by_day_among_noise_is_unlikely_to_be_luck_alone(seed: int) -> None:
    daily = noise(seed)
    daily[7] += 0.015
    found = assessed(daily)
    assert found.words.startswith(f"Unlikely to be luck alone: best of {SEVERAL} trials; ")
    assert found.deflated_sharpe is not None
    assert found.deflated_sharpe >= 0.95
    assert found.pbo is not None
    assert found.pbo < 0.1
    assert {fold.param_key for fold in found.walk_forward} == {"k07"}


def test_the_deflated_sharpe_ratio_is_of_the_trades_against_the_ratios_of_all_trials() -> None:
    daily = noise(3)
    sharpes = np.linspace(-0.2, 0.4, SEVERAL).tolist()
    runs = runs_of(daily, sharpes)
    ret = np.random.default_rng(4).normal(0.004, 0.01, 80)
    found = assessment.assess(assessment.tried(runs), ret, END)
    assert found.deflated_sharpe == luck.deflated_sharpe(ret, np.array(sharpes))
    assert found.deflated_sharpe not in {0.0, 1.0, luck.deflated_sharpe(ret, np.array(sharpes[:5]))}


@pytest.mark.parametrize("ret", [None, [], [0.01], [0.01, 0.03], [0.01, 0.01, 0.01]])
def test_without_trades_enough_the_deflated_sharpe_ratio_is_not_known_and_no_winner_is_told_from_luck(
    ret: list[float] | None,
) -> None:
    daily = noise(1)
    daily[7] += 0.05
    runs = runs_of(daily)
    found = assessment.assess(assessment.tried(runs), None if ret is None else np.array(ret), END)
    assert found.deflated_sharpe is None
    assert "its deflated Sharpe ratio is not known (too few trades)" in found.words
    assert found.words.startswith("Indistinguishable from luck")
    assert found.pbo is not None
    assert len(found.walk_forward) == 4


def test_three_trades_that_differ_are_enough_to_know_it() -> None:
    found = assessed(noise(1), np.array([0.01, 0.02, 0.04]))
    assert found.deflated_sharpe is not None
    assert "not known" not in found.words


def test_a_winner_that_a_choice_by_the_days_would_miss_is_luck_however_good_its_trades_are() -> None:
    halves = np.tile(np.repeat([0.01, -0.01], 2), 15) + noise(5, trials=1) / 100
    daily = np.concatenate((halves, -halves))
    runs = runs_of(daily, [0.1, 0.1])
    found = assessment.assess(assessment.tried(runs), np.random.default_rng(2).normal(0.02, 0.01, 60), END)
    assert found.deflated_sharpe is not None
    assert found.deflated_sharpe > 0.99
    assert found.pbo is not None
    assert found.pbo >= 0.5
    assert found.words.startswith("Indistinguishable from luck")


@pytest.mark.parametrize(
    ("deflated", "pbo", "lucky"),
    [(0.95, 0.49, False), (1.0, 0.0, False), (0.9499, 0.0, True), (1.0, 0.5, True), (0.0, 1.0, True)],
)
def test_a_winner_is_told_from_luck_from_95_percent_on_while_overfitting_is_below_half(
    monkeypatch: pytest.MonkeyPatch, deflated: float, pbo: float, lucky: bool
) -> None:
    monkeypatch.setattr(assessment.luck, "deflated_sharpe", lambda ret, sharpes: deflated)
    monkeypatch.setattr(assessment.luck, "overfitting", lambda daily, parts: luck.Overfitting(pbo, daily[:, 0], 1))
    found = assessed(noise(0))
    assert (found.deflated_sharpe, found.pbo) == (deflated, pbo)
    assert found.words.startswith("Indistinguishable from luck: " if lucky else "Unlikely to be luck alone: ")


# ---- overfitting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "parts"), [(16, 8), (17, 8), (30, 10), (32, 16), (42, 14), (60, 12), (90, 10)])
def test_days_are_split_into_the_parts_that_drop_the_fewest_and_of_equal_ones_into_the_most(
    days: int, parts: int
) -> None:
    daily = noise(days, days)
    by_parts = {one: luck.overfitting(daily.T, one).pbo for one in (8, 10, 12, 14, 16) if days >= one}
    assert len(set(by_parts.values())) == len(by_parts)
    assert assessed(daily).pbo == by_parts[parts]


@given(st.integers(0, 200))
def test_no_other_number_of_parts_would_drop_fewer_days(days: int) -> None:
    chosen: list[int] = []

    def overfitting(daily: Floats, parts: int) -> luck.Overfitting:
        chosen.append(parts)
        return luck.Overfitting(0.25, daily[:, 0], 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assessment.luck, "overfitting", overfitting)
        found = assessed(np.linspace(0.0, 0.01, 2 * days).reshape(2, days))
    allowed = [parts for parts in (8, 10, 12, 14, 16) if parts * 2 <= days]
    if not allowed:
        assert (found.pbo, chosen) == (None, [])
        return
    (parts,) = chosen
    fewest = min(days % one for one in allowed)
    assert parts == max(one for one in allowed if days % one == fewest)
    assert found.pbo == 0.25


@pytest.mark.parametrize(("days", "trials"), [(15, SEVERAL), (0, SEVERAL), (1, 2), (60, 1), (0, 1)])
def test_one_trial_or_too_few_days_leave_overfitting_unknown(days: int, trials: int) -> None:
    found = assessed(noise(0, days, trials), np.array([0.01, 0.02, 0.04]))
    assert found.pbo is None
    assert "ways to split" not in found.words


def test_the_only_trial_is_called_so() -> None:
    found = assessed(noise(0, trials=1) + 0.02)
    assert found.words.startswith("Unlikely to be luck alone: the only trial; ")
    assert found.trials == 1


# ---- the walk-forward -----------------------------------------------------------------------------------------------


def calmar(returns: list[float]) -> float:
    equity = peak = fall = 0.0
    for one in returns:
        equity += one
        peak = max(peak, equity)
        fall = max(fall, peak - equity)
    if fall == 0.0:
        return 100.0 if equity > 0 else 0.0
    return min(100.0, max(-100.0, equity / fall))


def naive_folds(runs: list[TrialRun]) -> list[FoldResult]:
    days = len(runs[0].daily)
    folds = []
    first = days - 30
    while first >= 0:
        fitted = {run.param_key: run.daily[first : first + 20] for run in runs}
        tested = {run.param_key: run.daily[first + 20 : first + 30] for run in runs}
        best = sorted(fitted, key=lambda key: (-calmar(fitted[key]), -sum(fitted[key]), key))[0]
        folds.insert(
            0,
            FoldResult(
                fit_start=END - (days - first) * DAY_MS,
                fit_end=END - (days - first - 20) * DAY_MS,
                test_end=END - (days - first - 30) * DAY_MS,
                param_key=best,
                fit_pnl=sum(fitted[best]),
                test_pnl=sum(tested[best]),
            ),
        )
        first -= 10
    return folds


# Few values, exact in binary, so that ties are common and no sum is rounded.
DAILY = st.tuples(st.integers(0, 95), st.integers(1, 4), st.randoms(use_true_random=False)).map(
    lambda drawn: np.array(
        [[drawn[2].choice([-0.25, 0.0, 0.0, 0.5]) for _ in range(drawn[0])] for _ in range(drawn[1])]
    ).reshape(drawn[1], drawn[0])
)


@given(DAILY)
def test_folds_are_those_of_a_plain_loop_over_the_days(daily: Floats) -> None:
    runs = runs_of(daily)
    assert assessment.assess(assessment.tried(runs), None, END).walk_forward == naive_folds(runs)


@given(DAILY, st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_the_runs(daily: Floats, random: Random) -> None:
    runs = runs_of(daily)
    mixed = random.sample(runs, len(runs))
    one, other = (assessment.assess(assessment.tried(order), None, END).walk_forward for order in (runs, mixed))
    assert one == other


def test_folds_walk_to_the_end_of_the_days_and_add_up_to_the_returns_of_the_sets_that_they_name() -> None:
    daily = noise(11, 95)
    folds = assessed(daily).walk_forward
    assert [(fold.test_end - END) // DAY_MS for fold in folds] == [-60, -50, -40, -30, -20, -10, 0]
    assert len({fold.param_key for fold in folds}) > 2
    for i, fold in enumerate(folds):
        assert fold.test_end - fold.fit_end == 10 * DAY_MS
        assert fold.fit_end - fold.fit_start == 20 * DAY_MS
        row = daily[int(fold.param_key[1:])]
        first = 5 + 10 * i
        assert fold.fit_pnl == pytest.approx(row[first : first + 20].sum())
        assert fold.test_pnl == pytest.approx(row[first + 20 : first + 30].sum())


@pytest.mark.parametrize(("days", "folds"), [(0, 0), (29, 0), (30, 1), (39, 1), (40, 2)])
def test_there_are_as_many_folds_as_days_for_a_fit_and_a_test(days: int, folds: int) -> None:
    found = assessed(noise(0, days), np.array([0.01, 0.02, 0.04]))
    assert len(found.walk_forward) == folds
    assert ("walk-forward" in found.words) == (folds > 0)


# ---- the words ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 1_000), st.floats(-0.01, 0.03), st.integers(0, 90), st.integers(1, 5))
def test_words_name_the_figures_and_the_verdict_follows_from_them(
    seed: int, drift: float, days: int, trials: int
) -> None:
    daily = noise(seed, days, trials)
    daily[0] += drift
    found = assessed(daily)
    lucky = found.deflated_sharpe is None or found.deflated_sharpe < 0.95 or (found.pbo or 0.0) >= 0.5
    assert found.words.startswith("Indistinguishable from luck: " if lucky else "Unlikely to be luck alone: ")
    assert found.words.endswith(".")
    said = {float(share) for share in re.findall(r"([\d.]+)%", found.words)}
    known = [one for one in (found.deflated_sharpe, found.pbo) if one is not None]
    assert said == {math.floor(one * 1000) / 10 for one in known}
    assert (f"best of {trials} trials" if trials > 1 else "the only trial") in found.words
    earned = sum(fold.test_pnl > 0 for fold in found.walk_forward)
    told = f"{earned} of {len(found.walk_forward)} walk-forward tests earned"
    assert (told in found.words) == bool(found.walk_forward)


def test_words_are_one_sentence() -> None:
    found = assessed(noise(2))
    assert found.deflated_sharpe is not None
    assert found.pbo is not None
    earned = sum(fold.test_pnl > 0 for fold in found.walk_forward)
    deflated, pbo = assessment.percent(found.deflated_sharpe), assessment.percent(found.pbo)
    assert found.words == (
        f"Indistinguishable from luck: best of 20 trials; a Sharpe ratio that beats the luck of so many trials with a "
        f"probability of {deflated}; {pbo} of the ways to split the days would have chosen "
        f"a set that does worse than most afterwards; {earned} of 4 walk-forward tests earned."
    )


@given(DAILY)
def test_an_assessment_reads_back_as_it_was_written(daily: Floats) -> None:
    runs = runs_of(daily)
    found = assessment.assess(assessment.tried(runs), daily[0], END)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Luck) == found


@pytest.mark.parametrize(
    ("share", "text"), [(0.9499, "94.9%"), (0.95, "95%"), (0.4999, "49.9%"), (0.0, "0%"), (1.0, "100%")]
)
def test_a_share_that_falls_short_of_a_limit_does_not_read_as_if_it_reached_it(share: float, text: str) -> None:
    assert assessment.percent(share) == text
