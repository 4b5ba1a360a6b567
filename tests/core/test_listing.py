"""How trials are listed: ids that name spec and instrument, and what they name put together again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotbandd.core import listing
from hotbandd.core.listing import Named, Trial
from hotbandd.core.param_key import param_key
from tests.core.test_winners import AUD, EUR, PAIRS, params_of, run_of

OLD, NEW = "ba9876543210", "0123456789ab"


def test_an_id_names_the_spec_and_the_instrument_and_tells_sets_apart() -> None:
    ids = [listing.run_id(NEW, EUR, param_key(params_of(n))) for n in (3, 6, 3)]
    assert ids[0] == ids[2] != ids[1]
    assert ids[0].startswith(f"{NEW}-EUR_USD-")
    assert len(ids[0]) == 12 + 1 + 7 + 1 + 12
    assert {listing.named(text) for text in ids} == {Named(NEW, EUR)}


FOREIGN = [
    "",
    "r",
    f"{NEW}-EUR_USD",
    f"{NEW}-EUR_USD-",
    "-EUR_USD-00",
    f"{NEW}-EURUSD-00",
    f"{NEW}-eur_usd-00",
    "\ufffd",
]
FOREIGN += [
    f"{NEW}-EUR_USD-00\n",
    f"{NEW}-EUR_USD-0g",
    f"{NEW}-../x_Y-00",
    f"{NEW}-EUR_USD-00-00",
    f"x{NEW}-EUR_USD-00",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_what_is_no_id_names_nothing(text: str) -> None:
    assert listing.named(text) is None
    assert listing.by_instrument({text: 1}, {text: 2}) == {}


@given(st.text())
def test_no_text_is_too_foreign_to_be_looked_at(text: str) -> None:
    assert listing.named(text) is None or text.count("-") == 2


@pytest.mark.parametrize(
    ("changed", "held"),
    [({}, True), ({"instrument": AUD}, False), ({"ts": 4}, False), ({"spec": OLD}, False), ({"run_id": "x"}, True)],
)
def test_a_trial_holds_the_runs_of_its_instrument_spec_and_moment(changed: dict[str, Any], held: bool) -> None:
    run = msgspec.structs.replace(run_of(3, EUR, ts=5), spec=NEW)
    assert Trial(EUR, 5, NEW, (), ()).holds(msgspec.structs.replace(run, **changed)) is held


LISTED = st.dictionaries(
    st.builds(
        lambda spec, pair, n: listing.run_id(spec, pair, f"k{n}"),
        st.sampled_from([OLD, NEW]),
        st.sampled_from(PAIRS),
        st.integers(0, 5),
    ),
    st.integers(0, 3),
    max_size=12,
)


@given(LISTED, LISTED)
def test_trials_are_those_of_a_plain_search(packs: dict[str, int], alone: dict[str, int]) -> None:
    found = listing.by_instrument(packs, alone)
    assert list(found) == sorted({text.split("-")[1] for text in [*packs, *alone]})
    for name, trials in found.items():
        at = [(trial.ts, trial.spec) for trial in trials]
        assert at == sorted(set(at), reverse=True)
        assert {trial.instrument for trial in trials} == {name}
    every = [trial for trials in found.values() for trial in trials]
    for given_, kept in ((packs, "packs"), (alone, "alone")):
        told = {text: (trial.spec, trial.instrument, trial.ts) for trial in every for text in getattr(trial, kept)}
        assert told == {text: (*text.split("-")[:2], ts) for text, ts in given_.items()}
        assert sum(len(getattr(trial, kept)) for trial in every) == len(given_)
    assert all(trial.packs or trial.alone for trial in every)
