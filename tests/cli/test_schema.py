"""``hotbandd schema``: by the names that people know."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from hotbandd.adapters.store.payloads import PAYLOADS
from tests.cli.conftest import sentences


def test_the_list_names_every_payload_with_every_place(cli):
    ended = cli("schema")
    assert ended.code == 0
    for payload in PAYLOADS:
        assert f" {payload.name} " in ended.out
        assert all(place in ended.out for place in payload.places)
    assert " openapi " in ended.out
    assert " asyncapi " in ended.out


def test_all_schemas_at_once_for_programs(cli):
    ended = cli("schema", "--json")
    assert ended.out.count("\n") == 1
    found = json.loads(ended.out)
    assert list(found) == [payload.name for payload in PAYLOADS]
    for schema in found.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "word",
    [
        "weights",
        "risk:allocation_weights",
        "ws:weights",
    ],
)
def test_a_schema_by_name_key_or_channel(cli, word):
    ended = cli("schema", word)
    schema = json.loads(ended.out)
    assert schema["title"] == "weights"
    assert "\n  " in ended.out
    assert json.loads(cli("schema", word, "--json").out) == schema
    weight = {"schema": 1, "ts": 1, "weights": {"EUR_USD": 0.1}, "target": 0.3, "gates_ts": 1, "scores": {}}
    assert Draft202012Validator(schema).is_valid({**weight, "epoch": 1, "seq": 1})
    assert not Draft202012Validator(schema).is_valid({**weight, "epoch": 1, "seq": 1, "weights": {"EUR_USD": 1.1}})


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("ws:last:manifold:EUR_USD", "manifold"),
        ("ws:last:manifold:{inst}", "manifold"),
        ("ws:manifold:hist:XAU_USD", "manifold-point"),
        ("manifold:EUR_USD:2026-01-31", "manifold-day"),
        ("bt:rolling:hist:EUR_USD:c0.55:l12:t2:ec60:xc60", "evaluation"),
        ("output/manifolds/EUR_USD/2026-01-31.json", "manifold-day"),
        ("docs/reports/snapshots/20260131T000000Z_gates.json", "gates"),
        ("config/live_params.yaml", "live-params"),
    ],
)
def test_a_place_as_it_is_met_leads_to_its_schema(cli, word, name):
    assert json.loads(cli("schema", word).out)["title"] == name


@pytest.mark.parametrize(("name", "key"), [("openapi", "openapi"), ("asyncapi", "asyncapi")])
def test_whole_descriptions(cli, name, key):
    assert json.loads(cli("schema", name, "--json").out)[key].startswith("3.")


def test_a_name_that_is_none_is_refused_with_the_nearest_ones(cli):
    ended = cli("schema", "opt:rolling:gates_blb")
    assert ended.code == 2
    assert "did you mean opt:rolling:gates_blob" in sentences(ended)
    assert cli("schema", "zzzzzzzz").code == 2
