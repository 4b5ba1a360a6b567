"""The description of the HTTP interface, made from the endpoints and their schemas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from hotbandd.adapters.http.endpoint import Endpoint
from hotbandd.adapters.http.requests import COUNT_MAX
from hotbandd.core import schemas
from hotbandd.core.chart import HOURS_MAX
from hotbandd.settings.instruments import INSTRUMENT

_NAMED: Final = re.compile(r"{(\w+)}")
_ERROR: Final = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_FIELDS: Final = {
    "instrument": {"type": "string", "pattern": f"^{INSTRUMENT.pattern}$"},
    "count": {"type": "integer", "minimum": 1, "maximum": COUNT_MAX},
    "hours": {"type": "integer", "minimum": 1, "maximum": HOURS_MAX},
    "since": {"type": "integer", "minimum": 0},
}


def description(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    kinds = [kind for each in endpoints for kind in (*each.results, each.body) if kind is not None]
    found, components = schemas.components(kinds)
    schema = dict(zip(map(repr, kinds), found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema)
    return {
        "openapi": "3.1.0",
        "info": {"title": "hotband", "version": version("hotband")},
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, schema: dict[str, Any]) -> dict[str, Any]:
    possible = [schema[repr(kind)] for kind in endpoint.results]
    result = (
        {endpoint.media: {"schema": possible[0] if len(possible) == 1 else {"anyOf": possible}}}
        if possible
        else {"text/plain": {"schema": {"type": "string"}}}
    )
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "responses": {
            "200": {"description": "As asked.", "content": result},
            "default": {"description": "Not so; one sentence says why.", "content": error},
        },
    }
    if endpoint.judging:
        operation["responses"]["503"] = {"description": "Not all is well.", "content": result}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _FIELDS[name]}
        for name in _NAMED.findall(endpoint.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": required, "schema": _FIELDS[name]}
        for name, required in endpoint.fields.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        body = {"application/json": {"schema": schema[repr(endpoint.body)]}}
        operation |= {"requestBody": {"required": True, "content": body}}
    if endpoint.secured:
        operation["security"] = [{"token": []}]
    return operation
