"""What trials found on each instrument, and the report that a person reads."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import findings
from hotbandd.core.candles import DAY_MS
from hotbandd.core.findings import Finding, foremost
from hotbandd.core.means import GlobalWinner
from hotbandd.core.trial_documents import FoldResult, Luck
from tests.core.test_means import global_winner
from tests.core.test_winners import AUD, EUR, JPY, PAIRS, everywhere, run_of

NOW = 1_718_800_200_000  # 2024-06-19 12:30
FOLD = FoldResult(
    fit_start=NOW - 30 * DAY_MS,
    fit_end=NOW - 10 * DAY_MS,
    test_end=NOW,
    param_key="c0.5:l3",
    fit_pnl=0.0625,
    test_pnl=-0.0123,
)
LUCK = Luck(trials=3, deflated_sharpe=0.874, pbo=0.25, walk_forward=[FOLD], words="Indistinguishable from luck: so.")
UNKNOWN = Luck(trials=1, deflated_sharpe=None, pbo=None, walk_forward=[], words="Indistinguishable from luck: few.")


# ---- the report -----------------------------------------------------------------------------------------------------


def won(instrument: str, luck: Luck | None = LUCK, **figures: Any) -> Finding:
    best = {"calmar": 2.5, "pnl": 0.0345, "trades": 17} | figures
    runs = [run_of(3, instrument, **best), run_of(6, instrument, calmar=0.5)]
    return dataclasses.replace(findings.of(runs, 5), luck=luck)


def lost(instrument: str) -> Finding:
    runs = [run_of(n, instrument, calmar=-n / 10, pnl=-0.0123, trades=40 + n) for n in (12, 6, 3)]
    return findings.of(runs, 5)


def report(*found: Finding, best: GlobalWinner | None = None, **changed: int) -> str:
    numbers = {"days": 14, "min_trades": 5, "now": NOW, **changed}
    return findings.markdown(found, best, **numbers)


def table(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.removeprefix("|").removesuffix("|").split("|")] for row in rows]


def section(text: str, name: str) -> str:
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_the_best_is_shown_where_none_qualifies_and_by_the_order_of_merit() -> None:
    assert lost(EUR).best.params.direction_lookback == 3


def test_a_finding_counts_the_runs_and_tells_the_best_that_qualifies_from_the_best_of_all() -> None:
    runs = [run_of(3, EUR, calmar=9.0, trades=4), run_of(6, EUR, calmar=1.0), run_of(12, EUR, calmar=2.0)]
    assert findings.of(runs, 5) == Finding(EUR, 3, runs[0], runs[2])
    assert findings.of(runs, 4) == Finding(EUR, 3, runs[0], runs[0])
    assert findings.of(runs[:1], 5) == Finding(EUR, 1, runs[0], None)


def test_foremost_are_winners_by_deflated_sharpe_then_by_calmar_and_then_the_others() -> None:
    sure, likely = (msgspec.structs.replace(LUCK, deflated_sharpe=share) for share in (0.99, 0.2))
    zero = msgspec.structs.replace(LUCK, deflated_sharpe=0.0)
    ranked = [
        won("HAA_USD", sure, calmar=1.0),
        won("GAA_USD", likely, calmar=9.0),
        won("FAA_USD", likely, calmar=8.0),
        won("EAA_USD", zero),
        won("DAA_USD", UNKNOWN, calmar=5.0),
        won("CAA_USD", None, calmar=4.0),
        dataclasses.replace(lost("BAA_USD"), best=run_of(3, "BAA_USD", calmar=90.0)),
        lost("AAA_USD"),
    ]
    for order in (ranked, ranked[::-1]):
        for count in range(10):
            assert foremost(order, count) == [found for found in order if found in ranked[:count]]


def test_the_report_says_what_it_is_about() -> None:
    text = report(won(EUR), lost(AUD), days=9, min_trades=7)
    lines = text.splitlines()
    assert lines[0] == "# Trials of the last 9 days"
    assert lines[2] == (
        "Made 2024-06-19 12:30 UTC. 5 parameter sets were back-tested on 2 instruments; 1 of them have a winner."
    )
    assert "at least 7 trades" in lines[4]
    assert [line for line in lines if line.startswith("#")] == [
        "# Trials of the last 9 days",
        "## Winners",
        "## Or luck?",
        "## One set for all",
    ]
    assert text.endswith(".\n")


def test_the_table_has_one_row_for_each_instrument_with_as_many_cells_as_the_heading() -> None:
    rows = table(report(won(EUR), lost(AUD), won(JPY, None)))
    assert [len(row) for row in rows] == [10] * 5
    assert rows[0] == [
        "instrument",
        "parameters",
        "trades",
        "pnl",
        "calmar",
        "profit factor",
        "win rate",
        "max drawdown",
        "deflated Sharpe",
        "overfitting",
    ]
    assert set(rows[1]) == {"---"}
    assert [row[0] for row in rows[2:]] == [EUR, AUD, JPY]
    assert rows[3][1:] == ["no winner", *[""] * 8]


def test_a_winner_is_told_with_its_set_and_figures_shares_as_percentages() -> None:
    row = table(report(won(EUR)))[2]
    assert row == [EUR, "`c0.5:l3:t2:ec60:xc60`", "17", "+3.45%", "2.50", "2.00", "50%", "10.00%", "87.4%", "25%"]


def test_a_loss_has_its_sign() -> None:
    assert findings.figures(run_of(calmar=-1.0, pnl=-0.0123))[1:3] == ("-1.23%", "-1.00")
    assert len(findings.figures(run_of())) == len(findings.FIGURES)


@pytest.mark.parametrize("luck", [UNKNOWN, None])
def test_what_is_not_known_of_the_luck_is_told_so(luck: Luck | None) -> None:
    text = report(won(EUR, luck))
    assert table(text)[2][-2:] == ["not known", "not known"]
    words = UNKNOWN.words if luck else "How much of it is luck is not known."
    assert f"- **EUR_USD**: {words}\n" in section(text, "Or luck?")


def test_where_none_qualifies_the_best_is_told_and_that_an_earlier_configuration_stays() -> None:
    assert (
        "- **AUD_USD**: no set qualifies; the best of 3 made -1.23% in 43 trades. "
        "An earlier best configuration is left to expire.\n"
    ) in section(report(lost(AUD)), "Or luck?")


def test_the_walk_forward_names_days_sets_and_returns_below_its_instrument() -> None:
    lines = section(report(won(EUR), won(JPY, UNKNOWN)), "Or luck?").splitlines()
    at = lines.index("- **EUR_USD**: Indistinguishable from luck: so.")
    assert lines[at + 1 : at + 3] == [
        "  - 20 May to 09 Jun chose `c0.5:l3` (+6.25%); to 19 Jun it made -1.23%.",
        "- **USD_JPY**: Indistinguishable from luck: few.",
    ]


def test_the_one_set_for_all_is_told_with_its_means_and_instruments() -> None:
    best = global_winner(everywhere(12, (0.5, 1.0, 1.75), pnl=0.0312))
    assert section(report(*map(won, PAIRS), best=best), "One set for all").strip() == (
        "`c0.5:l12:t2:ec60:xc60` has the highest mean calmar, 1.08, over AUD_USD, EUR_USD, USD_JPY, "
        "at a mean return of +3.12%."
    )


def test_more_instruments_than_one_sentence_takes_are_counted() -> None:
    names = [f"A{i:02d}_USD" for i in range(findings.NAMED + 1)]
    told = [
        section(report(won(EUR), best=global_winner([run_of(12, name) for name in some])), "One set for all")
        for some in (names[1:], names)
    ]
    assert f"over {', '.join(names[1:])}, at a mean return" in told[0]
    assert f"over all {len(names)} instruments, at a mean return" in told[1]


def test_that_there_is_no_set_for_all_is_told() -> None:
    assert section(report(won(EUR)), "One set for all").strip() == (
        "No set that ran on every instrument earned on average; there is no global configuration."
    )


@given(st.lists(st.tuples(st.sampled_from([won, lost]), st.sampled_from([LUCK, UNKNOWN])), min_size=1, max_size=6))
def test_whatever_was_found_every_instrument_has_its_row_and_its_words(kinds: list[tuple[Any, Luck]]) -> None:
    names = [f"{chr(65 + i)}AA_USD" for i in range(len(kinds))]
    found = [make(name, luck) if make is won else make(name) for name, (make, luck) in zip(names, kinds, strict=True)]
    text = report(*found)
    rows = table(text)
    assert [row[0] for row in rows[2:]] == names
    assert {len(row) for row in rows} == {10}
    assert re.findall(r"^- \*\*(.+)\*\*: ", section(text, "Or luck?"), re.M) == names
    without = sum(make is lost for make, _ in kinds)
    assert (text.count("| no winner |"), text.count("no set qualifies")) == (without, without)
    assert f" {len(kinds) - without} of them have a winner." in text
    assert "None" not in text
    assert "nan" not in text
