"""What may change within schema 1: fields may be added; none disappears, changes its type, or begins or ceases to be required.

``python -m tests.schemas.compatibility`` adds what is new to the frozen copy, and refuses to where something broke.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hotbandd.adapters.http.endpoints import ENDPOINTS
from hotbandd.adapters.http.openapi import description
from hotbandd.adapters.store.payloads import PAYLOADS, schema_of

FROZEN = Path(__file__).with_name("schema1.json")
BOUNDS = (
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "pattern",
    "minItems",
    "maxItems",
    "default",
)
WORDS = ("title", "description", "$id", "$schema")


def current() -> dict[str, Any]:
    """Return the schemas as they are: of each payload, and of what each address of the contract takes and gives."""
    return {
        "payloads": {payload.name: stripped(schema_of(payload)) for payload in PAYLOADS},
        "http": {f"{method} {path}": one for method, path, one in _http(description(ENDPOINTS))},
    }


def _http(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Iterate over the addresses below /api/, with the query's fields and the schemas of the body and of the answer."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/api/") and not path.startswith("/api/page"):
                fields = {one["name"]: one["required"] for one in operation.get("parameters", [])}
                taken = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                given = operation["responses"]["200"]["content"].get("application/json", {})
                yield (
                    method.upper(),
                    path,
                    {
                        "fields": fields,
                        "takes": _inlined(taken.get("schema", {}), document),
                        "gives": _inlined(given.get("schema", {}), document),
                    },
                )


def _inlined(schema: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with the components that it refers to below ``$defs``."""
    parts: dict[str, Any] = {}

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            if "$ref" in value:
                name = value["$ref"].rpartition("/")[2]
                if name not in parts:
                    parts[name] = None
                    parts[name] = moved(document["components"]["schemas"][name])
                return {**value, "$ref": f"#/$defs/{name}"}
            return {key: moved(inner) for key, inner in value.items()}
        return [moved(inner) for inner in value] if isinstance(value, list) else value

    return stripped({**moved(schema), "$defs": parts} if schema else {})


def stripped(schema: Any) -> Any:
    """Return a schema without words for people."""
    if isinstance(schema, Mapping):
        kept = {key: stripped(value) for key, value in schema.items() if key not in WORDS or isinstance(value, Mapping)}
        return {key: kept[key] for key in sorted(kept)}
    return [stripped(value) for value in schema] if isinstance(schema, list) else schema


def broken(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what of a frozen copy does not hold any more, each with where."""
    found = [f"{name}: it is gone" for name in old["payloads"] if name not in new["payloads"]]
    found += [f"{name}: it is gone" for name in old["http"] if name not in new["http"]]
    for name, schema in old["payloads"].items():
        if name in new["payloads"]:
            found += _broken(name, schema, new["payloads"][name], schema, new["payloads"][name])
    for name, before in old["http"].items():
        after = new["http"].get(name)
        if after is not None:
            found += [
                f"{name}?{field}: it changed"
                for field in before["fields"]
                if before["fields"][field] != after["fields"].get(field)
            ]
            found += [
                f"{name}?{field}: it is required now"
                for field, required in after["fields"].items()
                if required and field not in before["fields"]
            ]
            for part in ("takes", "gives"):
                found += _broken(f"{name} {part}", before[part], after[part], before[part], after[part])
    return found


def _broken(where: str, old: Any, new: Any, old_root: Any, new_root: Any) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    if old.get("type") != new.get("type"):
        yield f"{where}: its type was {old.get('type')}, and is {new.get('type')}"
        return
    for bound in BOUNDS:
        if old.get(bound) != new.get(bound):
            yield f"{where}: its {bound} was {old.get(bound)}, and is {new.get(bound)}"
    yield from _members(where, old, new, old_root, new_root)
    for part in ("items", "additionalProperties", "propertyNames"):
        before, after = old.get(part), new.get(part)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _broken(f"{where}[{part}]", before, after, old_root, new_root)
        elif before != after:
            yield f"{where}[{part}]: it was {before}, and is {after}"
    yield from _choices(where, old, new, old_root, new_root)


def _members(where: str, old: Any, new: Any, old_root: Any, new_root: Any) -> Iterator[str]:
    """Compare the fields of an object."""
    required, now = set(old.get("required", [])), set(new.get("required", []))
    properties = new.get("properties", {})
    for name in sorted((required - now) & properties.keys()):
        yield f"{where}.{name}: it was always there, and need not be any more"
    for name in sorted(now - required):
        yield f"{where}.{name}: it is required now, and older documents and callers do not have it"
    for name, schema in old.get("properties", {}).items():
        if name in properties:
            yield from _broken(f"{where}.{name}", schema, properties[name], old_root, new_root)
        else:
            yield f"{where}.{name}: it is gone"


def _choices(where: str, old: Any, new: Any, old_root: Any, new_root: Any) -> Iterator[str]:
    """Compare alternatives in their order."""
    before, after = old.get("anyOf", []), new.get("anyOf", [])
    if len(before) != len(after):
        yield f"{where}: it had {len(before)} alternatives, and has {len(after)}"
        return
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        yield from _broken(f"{where}|{number}", one, other, old_root, new_root)


def _resolved(schema: Any, root: Any) -> Any:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = {**root["$defs"][name], **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def main() -> None:
    """Write the frozen copy anew, with what was added."""
    new = current()
    if FROZEN.exists() and (faults := broken(json.loads(FROZEN.read_text()), new)):
        sys.exit("\n".join(faults))
    FROZEN.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
