"""The reference is what the code says, and leaves nothing out."""

from __future__ import annotations

import inspect
import re

import pytest

from docs import reference
from hotbandd.adapters.store import keys
from hotbandd.settings import TABLE


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_the_reference_is_up_to_date(path):
    assert path.read_text() == reference.pages()[path], "run python -m docs.reference"


def test_every_setting_is_in_it():
    page = reference.settings()
    assert [each.name for each in TABLE.values() if f"| `{each.name}` |" not in page] == []


NAMES_OF_FENCES = {"manifold_fence", "fenced", "GATES_FENCE", "WEIGHTS_FENCE"}


def test_every_key_and_channel_is_in_it():
    made = {name: one for name, one in inspect.getmembers(keys, inspect.isfunction) if one.__module__ == keys.__name__}
    names = {name: one(*inspect.signature(one).parameters) for name, one in made.items() if name not in NAMES_OF_FENCES}
    plain = {n: v for n, v in vars(keys).items() if n.isupper() and isinstance(v, str) and n not in NAMES_OF_FENCES}
    patterns = [re.compile(re.sub(r"\\{\w+(\\-\w+)*\\}", "[^:]+", re.escape(key.pattern))) for key in reference.KEYS]
    left_out = [name for name, key in (names | plain).items() if not any(one.fullmatch(key) for one in patterns)]
    assert left_out == []
