"""Schema 1 stands: what was promised to readers and callers is still there, of the same type."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.schemas.compatibility import FROZEN, broken, current


@pytest.fixture(scope="module")
def frozen() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FROZEN.read_text())
    return found


def test_schema_1_still_holds(frozen: dict[str, Any]) -> None:
    assert broken(frozen, current()) == []


def test_nothing_that_is_published_is_without_a_promise(frozen: dict[str, Any]) -> None:
    new = current()
    left_out = [name for part in ("payloads", "http") for name in new[part] if name not in frozen[part]]
    assert left_out == [], "run python -m tests.schemas.compatibility"


def weights(whole: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = whole["payloads"]["weights"]["$defs"]["Weights"]
    return found


def gone(whole: dict[str, Any]) -> None:
    del weights(whole)["properties"]["scores"]
    weights(whole)["required"].remove("scores")


def optional(whole: dict[str, Any]) -> None:
    weights(whole)["required"].remove("target")


def required(whole: dict[str, Any]) -> None:
    weights(whole)["properties"]["account"] = {"type": "string"}
    weights(whole)["required"].append("account")


def other_type(whole: dict[str, Any]) -> None:
    weights(whole)["properties"]["ts"]["type"] = "number"


def other_values(whole: dict[str, Any]) -> None:
    weights(whole)["properties"]["weights"]["additionalProperties"]["type"] = "string"


def wider(whole: dict[str, Any]) -> None:
    del weights(whole)["properties"]["target"]["maximum"]


def nullable(whole: dict[str, Any]) -> None:
    held = whole["payloads"]["allocator-status"]["$defs"]["AllocatorStatus"]["properties"]
    held["held"] = {"anyOf": [held["held"], {"type": "null"}]}


def another_state(whole: dict[str, Any]) -> None:
    whole["payloads"]["manifold"]["$defs"]["Manifold"]["properties"]["state"]["enum"].append("asleep")


def payload_gone(whole: dict[str, Any]) -> None:
    del whole["payloads"]["cooldown"]


def address_gone(whole: dict[str, Any]) -> None:
    del whole["http"]["GET /api/candles"]


def field_required(whole: dict[str, Any]) -> None:
    whole["http"]["GET /api/candles"]["fields"]["since"] = True


def body_required(whole: dict[str, Any]) -> None:
    body = whole["http"]["POST /api/kill-switch"]["takes"]["$defs"]["KillSwitch"]
    body["properties"]["who"] = {"type": "string"}
    body["required"].append("who")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (gone, "weights.scores: it is gone"),
        (optional, "weights.target: it was always there, and need not be any more"),
        (required, "weights.account: it is required now, and older documents and callers do not have it"),
        (other_type, "weights.ts: its type was integer, and is number"),
        (other_values, "weights.weights[additionalProperties]: its type was number, and is string"),
        (wider, "weights.target: its maximum was 1.0, and is None"),
        (nullable, "allocator-status.held: its type was boolean, and is None"),
        (another_state, "manifold.state: its enum was ['collapsed', 'live'], and is ['collapsed', 'live', 'asleep']"),
        (payload_gone, "cooldown: it is gone"),
        (address_gone, "GET /api/candles: it is gone"),
        (field_required, "GET /api/candles?since: it is required now"),
        (
            body_required,
            "POST /api/kill-switch takes.who: it is required now, and older documents and callers do not have it",
        ),
    ],
)
def test_a_break_is_told_with_its_place(frozen: dict[str, Any], change: Callable[[Any], None], told: str) -> None:
    new = copy.deepcopy(frozen)
    change(new)
    assert broken(frozen, new) == [told]


def test_fields_addresses_and_payloads_may_be_added(frozen: dict[str, Any]) -> None:
    new = copy.deepcopy(frozen)
    weights(new)["properties"]["account"] = {"type": "string", "default": ""}
    new["payloads"]["orders"] = new["payloads"]["weights"]
    new["http"]["GET /api/orders"] = new["http"]["GET /api/candles"]
    new["http"]["GET /api/candles"]["fields"]["since"] = False
    assert broken(frozen, new) == []
