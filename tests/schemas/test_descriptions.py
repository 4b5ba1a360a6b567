"""The descriptions of channels and pages are valid, and made of the types that are published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from hotbandd.adapters.http.endpoints import ENDPOINTS
from hotbandd.adapters.http.openapi import description as openapi
from hotbandd.adapters.store import keys
from hotbandd.adapters.store.asyncapi import description as asyncapi
from hotbandd.adapters.store.payloads import PAYLOADS


def plain(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def test_the_pages_are_described_as_openapi_asks() -> None:
    document = plain(openapi(ENDPOINTS))
    assert [str(fault) for fault in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert {f"{each.method} {each.path}" for each in ENDPOINTS} == {
        f"{method.upper()} {path}" for path, found in document["paths"].items() for method in found
    }


def test_a_wrong_description_of_pages_is_found_out() -> None:
    document = plain(openapi(ENDPOINTS))
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())
    document["components"]["schemas"]["Weights"]["type"] = "thing"
    assert list(OpenAPIV31SpecValidator(document).iter_errors())


def test_every_channel_is_described() -> None:
    made = (keys.MANIFOLD_CHANNEL, keys.GATES_CHANNEL, keys.WEIGHTS_CHANNEL, keys.live_config_channel("{inst}"))
    channels = asyncapi()["channels"]
    assert {channel["address"] for channel in channels.values()} == set(made)
    named = [channel.get("parameters", {}).keys() for channel in channels.values() if "{" in channel["address"]]
    assert named == [{"inst"}]


def test_the_channels_are_described_as_asyncapi_3_asks() -> None:
    document = plain(asyncapi())
    assert document["asyncapi"] == "3.0.0"
    assert document["info"].keys() >= {"title", "version"}
    known = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
    assert document.keys() <= known
    for server in document["servers"].values():
        assert server.keys() >= {"host", "protocol"}
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert set(operation["channel"]) == {"$ref"}
        listed = resolved(document, operation["channel"]["$ref"])["messages"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
            assert message["$ref"].rpartition("/")[2] in listed


def test_every_reference_leads_somewhere() -> None:
    for document in (plain(asyncapi()), plain(openapi(ENDPOINTS))):
        found = list(references(document))
        assert len(found) > 10
        for reference in found:
            resolved(document, reference)


@pytest.mark.parametrize("document", [asyncapi(), openapi(ENDPOINTS)], ids=["asyncapi", "openapi"])
def test_components_are_schemas(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(plain(schema))


def test_a_document_names_its_schema_wherever_it_is_described() -> None:
    kinds = {
        payload.kind.__name__ for payload in PAYLOADS if "schema" in getattr(payload.kind, "__struct_fields__", ())
    }
    for document in (asyncapi(), openapi(ENDPOINTS)):
        described = kinds & document["components"]["schemas"].keys()
        assert described
        for name in described:
            assert "schema" in document["components"]["schemas"][name]["required"], name


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolved(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/"), reference
    found: Any = document
    for step in reference[2:].split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found
