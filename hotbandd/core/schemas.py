"""JSON Schema of types, as readers may rely on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
COMPONENTS: Final = "#/components/schemas/{name}"


def whole(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a type, its parts below ``$defs``."""
    found = msgspec.json.schema(kind)
    parts = {name: _readable(part) for name, part in found.pop("$defs", {}).items()}
    return {**found, "$defs": parts} if parts else found


def components(kinds: list[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the schema of each type, and the parts that they refer to as components of an API's description."""
    found, parts = msgspec.json.schema_components(kinds, ref_template=COMPONENTS)
    return list(found), {name: _readable(part) for name, part in parts.items()}


def _readable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object: a document always names its schema, which msgspec cannot know."""
    found = dict(schema)
    if "description" in found:
        found["description"] = " ".join(found["description"].replace("``", "`").split())
    if "schema" in found.get("properties", {}):
        found["required"] = ["schema", *found.get("required", [])]
    return found
