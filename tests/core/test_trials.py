"""Specs of trials: what they multiply out to, that they are counted without being built, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from itertools import islice
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import trials
from hotbandd.core.documents import Params
from hotbandd.core.trials import Grid, Spec, combinations, count, spec_hash
from hotbandd.errors import ParamsError

STRATEGIES = ("combined", "fade")
BASE = Params(c_min=0.55, direction_lookback=12, dir_threshold_bps=2.0, exit_cooldown_sec=120)
PAIRS = ("USD_JPY", "EUR_USD", "GBP_USD")
DOCUMENT = {
    "window_days": 60,
    "defaults": {"c_min": [0.4, 0.5], "max_hold_min": 90},
    "instruments": [
        {"instrument": "USD_JPY", "overrides": {"direction_lookback": [12, 6], "c_min": ["p80", 0.6]}},
        {"instrument": "EUR_USD"},
        {"instrument": "AUD_USD", "overrides": {"c_min": 0.7}},
    ],
}


def parse(document: Any) -> Spec:
    return trials.parse(document, STRATEGIES)


def spec_of(*, window_days: int = 90, defaults: Any = None, **overrides: Any) -> Spec:
    """Return the spec of one instrument."""
    entry = {"instrument": "EUR_USD", "overrides": overrides}
    return parse({"window_days": window_days, "defaults": defaults, "instruments": [entry]})


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "c_min": st.floats(0, 1) | st.integers(0, 99).map("p{:02}".format),
    "direction_lookback": st.integers(1, 1440),
    "dir_threshold_bps": st.floats(0, 50),
    "strategy": st.sampled_from(STRATEGIES),
    "tp_bps": st.none() | st.floats(0.5, 50),
}
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={name: one | st.lists(one, min_size=1, max_size=3, unique=True) for name, one in VALUES.items()},
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    pairs = draw(st.lists(st.sampled_from(PAIRS), min_size=1, unique=True))
    return {
        "window_days": draw(st.integers(1, 3650)),
        "defaults": draw(PARAMETERS),
        "instruments": [{"instrument": pair, "overrides": draw(PARAMETERS)} for pair in pairs],
    }


def naive_points(axes: dict[str, Any]) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = [{}]
    for name in sorted(axes):
        values = axes[name] if isinstance(axes[name], list) else [axes[name]]
        points = [{**point, name: value} for point in points for value in values]
    return points


# ---- what a spec multiplies out to ----------------------------------------------------------------------------------


@given(documents())
def test_each_instrument_tries_the_product_of_its_lists_laid_over_the_defaults_and_those_in_force(
    document: Any,
) -> None:
    spec = parse(document)
    assert spec.window_days == document["window_days"]
    assert list(spec.instruments) == [entry["instrument"] for entry in document["instruments"]]
    for entry in document["instruments"]:
        points = naive_points({**document["defaults"], **entry["overrides"]})
        expected = [msgspec.structs.replace(BASE, **point) for point in points]
        assert list(combinations(spec, entry["instrument"], BASE)) == expected


@given(documents())
def test_the_count_is_the_number_of_combinations_each_of_which_is_another(document: Any) -> None:
    spec = parse(document)
    built = [(pair, params) for pair in spec.instruments for params in combinations(spec, pair, BASE)]
    assert count(spec) == len(built) == len(set(built))


def test_the_last_parameter_of_the_alphabet_changes_fastest() -> None:
    spec = parse(DOCUMENT)
    tried = [(p.c_min, p.direction_lookback, p.max_hold_min) for p in combinations(spec, "USD_JPY", BASE)]
    assert tried == [("p80", 12, 90), ("p80", 6, 90), (0.6, 12, 90), (0.6, 6, 90)]
    assert count(spec) == 4 + 2 + 1


def test_the_names_of_a_grid_are_in_alphabetical_order() -> None:
    grid = spec_of(defaults={"tp_bps": 5.0}, strategy="fade", c_min=0.5).instruments["EUR_USD"]
    assert list(grid.axes.items()) == [("c_min", (0.5,)), ("strategy", ("fade",)), ("tp_bps", (5.0,))]


def test_an_order_of_names_in_a_grid_does_not_change_the_order_of_its_combinations() -> None:
    one = Spec(90, {"EUR_USD": Grid({"c_min": (0.1, 0.2), "max_hold_min": (1, 2)})})
    other = Spec(90, {"EUR_USD": Grid({"max_hold_min": (1, 2), "c_min": (0.1, 0.2)})})
    assert list(combinations(one, "EUR_USD", BASE)) == list(combinations(other, "EUR_USD", BASE))


def test_an_override_stands_before_a_default_and_a_parameter_that_neither_names_is_as_in_force() -> None:
    spec = parse(DOCUMENT)
    assert [p.c_min for p in combinations(spec, "AUD_USD", BASE)] == [0.7]
    assert [p.c_min for p in combinations(spec, "EUR_USD", BASE)] == [0.4, 0.5]
    assert {p.exit_cooldown_sec for p in combinations(spec, "EUR_USD", BASE)} == {120}


@pytest.mark.parametrize("entry", [{"instrument": "EUR_USD"}, {"instrument": "EUR_USD", "overrides": None}])
def test_an_instrument_without_overrides_or_defaults_tries_what_is_in_force(entry: Any) -> None:
    spec = parse({"instruments": [entry], "defaults": None})
    assert spec == Spec(window_days=90, instruments={"EUR_USD": Grid({})})
    assert list(combinations(spec, "EUR_USD", BASE)) == [BASE]
    assert count(spec) == 1


def test_a_value_that_takes_a_parameter_back_overlays_the_one_in_force() -> None:
    base = msgspec.structs.replace(BASE, tp_bps=5.0)
    assert [p.tp_bps for p in combinations(spec_of(tp_bps=[None, 8]), "EUR_USD", base)] == [None, 8.0]


def test_values_are_of_the_type_of_their_parameter() -> None:
    found = list(combinations(spec_of(c_min=[1, " p80 ", "0.5"], dir_threshold_bps=2), "EUR_USD", BASE))
    assert [p.c_min for p in found] == [1.0, "p80", 0.5]
    assert {type(value) for p in found for value in (p.c_min, p.dir_threshold_bps)} == {float, str}


def test_an_instrument_that_is_not_in_the_spec_has_no_combinations() -> None:
    with pytest.raises(KeyError, match="USD_CAD"):
        combinations(parse(DOCUMENT), "USD_CAD", BASE)


def test_a_billion_combinations_are_counted_at_once_and_begun_without_being_built() -> None:
    axes = {
        "direction_lookback": list(range(1, 1001)),
        "max_hold_min": list(range(1, 1001)),
        "entry_cooldown_sec": list(range(1000)),
    }
    spec = parse({"defaults": axes, "instruments": [{"instrument": pair} for pair in PAIRS]})
    assert count(spec) == 3 * 10**9
    found = combinations(spec, "EUR_USD", BASE)
    assert isinstance(found, Iterator)
    first = [(p.direction_lookback, p.entry_cooldown_sec, p.max_hold_min) for p in islice(found, 1001)]
    assert (first[0], first[-1]) == ((1, 0, 1), (1, 1, 1))


def test_a_document_stays_as_it_is() -> None:
    document = {name: part for name, part in DOCUMENT.items() if name != "window_days"}
    before = deepcopy(document)
    list(combinations(parse(document), "USD_JPY", BASE))
    assert document == before


# ---- the hash -------------------------------------------------------------------------------------------------------


def turned(value: Any) -> Any:
    """Return the same document with the keys of its mappings the other way round."""
    if isinstance(value, dict):
        return {key: turned(inner) for key, inner in reversed(value.items())}
    return [turned(inner) for inner in value] if isinstance(value, list) else value


@given(documents())
def test_the_hash_does_not_depend_on_the_order_of_keys_and_instruments(document: Any) -> None:
    spec, other = parse(document), parse(turned(document) | {"instruments": document["instruments"][::-1]})
    assert spec == other
    assert spec_hash(spec) == spec_hash(other)
    assert re.fullmatch(r"[0-9a-f]{12}", spec_hash(spec))


@given(documents(), documents())
def test_specs_have_one_hash_where_they_are_equal_and_two_where_they_are_not(one: Any, other: Any) -> None:
    assert (spec_hash(parse(one)) == spec_hash(parse(other))) == (parse(one) == parse(other))


def test_the_hash_is_the_same_however_a_spec_is_written() -> None:
    written = spec_of(c_min=[1.0], dir_threshold_bps=0.0, direction_lookback=[6, 12])
    for same in (
        spec_of(c_min=1, dir_threshold_bps=-0.0, direction_lookback=[6, 12]),
        spec_of(defaults={"c_min": "1", "direction_lookback": 3}, dir_threshold_bps=[0], direction_lookback=[6, 12]),
        spec_of(defaults={"c_min": 1.0, "dir_threshold_bps": 0.0, "direction_lookback": [6, 12]}),
    ):
        assert spec_hash(same) == spec_hash(written)


@pytest.mark.parametrize(
    "other",
    [
        spec_of(c_min=[0.5, 0.6], window_days=89),
        spec_of(c_min=[0.5]),
        spec_of(c_min=[0.5, 0.7]),
        spec_of(c_min=[0.6, 0.5]),
        spec_of(dir_threshold_bps=[0.5, 0.6]),
        spec_of(c_min=[0.5, 0.6], tp_bps=None),
        parse({"instruments": [{"instrument": "USD_JPY", "overrides": {"c_min": [0.5, 0.6]}}]}),
    ],
)
def test_another_spec_has_another_hash(other: Spec) -> None:
    assert spec_hash(other) != spec_hash(spec_of(c_min=[0.5, 0.6]))


def test_the_hash_of_a_spec_stays_what_it_was_when_finished_runs_were_kept_under_it() -> None:
    assert spec_hash(parse(DOCUMENT)) == "fd43e7ed74ad"


# ---- what is refused ------------------------------------------------------------------------------------------------


def with_defaults(**defaults: Any) -> Any:
    return {"defaults": defaults, "instruments": [{"instrument": "EUR_USD"}]}


def with_overrides(**overrides: Any) -> Any:
    return {"instruments": [{"instrument": "USD_JPY"}, {"instrument": "EUR_USD", "overrides": overrides}]}


def with_entries(*entries: Any) -> Any:
    return {"instruments": list(entries)}


MAPPING = "must hold names with values."
ENTRIES = "must list at least one entry such as {instrument: EUR_USD}."
EUR = {"instrument": "EUR_USD"}


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        (None, "", MAPPING),
        ([EUR], "", MAPPING),
        ("instruments", "", MAPPING),
        ({"windowdays": 90, **with_entries(EUR)}, "windowdays", "is not known here; did you mean window_days?"),
        (
            {"x": 90, **with_entries(EUR)},
            "x",
            "is not known here; there are window_days, defaults, instruments.",
        ),
        ({1: 90, **with_entries(EUR)}, "1", "is not known here; there are window_days, defaults, instruments."),
        ({"defaults": [0.5], **with_entries(EUR)}, "defaults", MAPPING),
        ({}, "instruments", ENTRIES),
        ({"instruments": None}, "instruments", ENTRIES),
        ({"instruments": []}, "instruments", ENTRIES),
        ({"instruments": {"EUR_USD": {}}}, "instruments", ENTRIES),
        (with_entries("EUR_USD"), "instruments.0", MAPPING),
        (with_entries(EUR, None), "instruments.1", MAPPING),
        (with_entries(EUR, {"overrides": {}}), "instruments.1", "needs an instrument."),
        (
            with_entries({**EUR, "override": {}}),
            "instruments.0.override",
            "is not known here; did you mean overrides?",
        ),
        (with_entries({**EUR, "c_min": 1}), "instruments.0.c_min", "there are instrument, overrides."),
        (
            with_entries({"instrument": "eurusd"}),
            "instruments.0.instrument",
            "cannot be 'eurusd'; write one such as EUR_USD.",
        ),
        (with_entries({"instrument": None}), "instruments.0.instrument", "cannot be None; write one such as EUR_USD."),
        (with_entries({"instrument": "GLOBAL"}), "instruments.0.instrument", "cannot be 'GLOBAL'"),
        (
            with_entries(EUR, {"instrument": "USD_JPY"}, EUR),
            "instruments.2.instrument",
            "names EUR_USD a second time.",
        ),
        (with_entries({**EUR, "overrides": [0.5]}), "instruments.0.overrides", MAPPING),
        (with_defaults(c_mim=0.5), "defaults.c_mim", "is not known here; did you mean c_min?"),
        (with_defaults(C_MIN=0.5), "defaults.C_MIN", "did you mean c_min?"),
        (
            with_overrides(lookback=3),
            "instruments.1.overrides.lookback",
            "is not known here; did you mean direction_lookback?",
        ),
        (
            with_overrides(q=3),
            "instruments.1.overrides.q",
            "is not known here; there are c_min, cost_bps, dir_threshold_bps, direction_lookback,",
        ),
        (with_overrides(c_min=[]), "instruments.1.overrides.c_min", "holds no value."),
        (with_defaults(c_min=[]), "defaults.c_min", "holds no value."),
        (with_defaults(c_min=True), "defaults.c_min", "cannot be True: Expected `float | str`, got `bool`."),
        (with_defaults(c_min=date(2025, 1, 1)), "defaults.c_min", "Expected `float | str`, got `date`."),
        (with_defaults(c_min={"from": 0}), "defaults.c_min", "Expected `float | str`, got `object`."),
        (with_defaults(c_min=[[0.5]]), "defaults.c_min.0", "cannot be [0.5]: Expected `float | str`, got `array`."),
        (with_defaults(c_min=float("nan")), "defaults.c_min", "cannot be nan: Expected a finite number."),
        (with_defaults(dir_threshold_bps=float("inf")), "defaults.dir_threshold_bps", "cannot be inf"),
        (with_defaults(c_min="nan"), "defaults.c_min", "cannot be 'nan': 'nan' is no threshold"),
        (
            with_overrides(c_min=[0.5, "high"]),
            "instruments.1.overrides.c_min.1",
            "cannot be 'high': 'high' is no threshold; write a number such as 0.55, or a percentile from p0 to p100.",
        ),
        (
            with_overrides(direction_lookback=[12, 0]),
            "instruments.1.overrides.direction_lookback.1",
            "cannot be 0: Expected `int` >= 1.",
        ),
        (with_defaults(direction_lookback=1.5), "defaults.direction_lookback", "Expected `int`, got `float`."),
        (with_defaults(max_hold_min=None), "defaults.max_hold_min", "cannot be None: Expected `int`, got `null`."),
        (
            with_overrides(strategy=["fade", "theirs"]),
            "instruments.1.overrides.strategy.1",
            "cannot be 'theirs'; take one of combined, fade.",
        ),
        (with_overrides(c_min=[0.5, 0.6, 0.5]), "instruments.1.overrides.c_min.2", "repeats 0.5."),
        (with_defaults(c_min=[0.5, "0.5"]), "defaults.c_min.1", "repeats 0.5."),
        (with_defaults(c_min=["p80", "p80 "]), "defaults.c_min.1", "repeats 'p80'."),
        (with_defaults(dir_threshold_bps=[0.0, 2, -0.0]), "defaults.dir_threshold_bps.2", "repeats 0.0."),
        (with_defaults(tp_bps=[None, 5, None]), "defaults.tp_bps.2", "repeats None."),
    ],
)
def test_what_is_wrong_is_told_with_the_keys_down_to_it(document: Any, path: str, reason: str) -> None:
    with pytest.raises(ParamsError) as fault:
        parse(document)
    assert fault.value.path == tuple(path.split(".") if path else ())
    assert reason in fault.value.reason
    assert re.search(r"[^.][.?]$", fault.value.reason)


@pytest.mark.parametrize("days", [0, 3651, 30.0, "30", None, True, [30, 60]])
def test_a_window_is_a_whole_number_of_days_up_to_ten_years(days: Any) -> None:
    with pytest.raises(ParamsError, match=rf"^window_days cannot be {re.escape(repr(days))}: Expected `int`") as fault:
        parse({"window_days": days, **with_entries(EUR)})
    assert fault.value.path == ("window_days",)
    for accepted in (1, 3650):
        assert parse({"window_days": accepted, **with_entries(EUR)}).window_days == accepted


def test_a_value_of_great_length_is_cut_short_in_the_reason() -> None:
    with pytest.raises(ParamsError) as fault:
        parse(with_defaults(direction_lookback=[list(range(10_000))]))
    assert len(str(fault.value)) < 200


def test_strategies_are_those_given() -> None:
    document = with_defaults(strategy="mine")
    assert trials.parse(document, {"mine"}).instruments["EUR_USD"].axes == {"strategy": ("mine",)}
    with pytest.raises(ParamsError, match=r"^defaults\.strategy cannot be 'mine'; take one of combined, fade\.$"):
        parse(document)
