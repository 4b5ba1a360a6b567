"""All that a run leaves in Valkey, read as any reader would: by the catalogue, without hotband's own decoding."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

from redis import Redis

from hotbandd.adapters.store.payloads import Payload, find

NUMBERS = {"number", "integer"}
MOST = 100  # members of one key


def stored(valkey: Redis, schema: Callable[[Payload], dict[str, Any]]) -> Iterator[tuple[Payload, str, Any]]:
    """Iterate over (payload, key, value) of everything that is stored; raises UsageError for a key that nobody described."""
    for key in sorted(name.decode() for name in valkey.scan_iter(count=1000)):
        payload = find(key)
        for raw in _raw(valkey, key):
            yield payload, key, _value(raw, payload, schema)


def _raw(valkey: Redis, key: str) -> list[Any]:
    kind = valkey.type(key).decode()
    if kind == "zset":
        return list(valkey.zrange(key, 0, MOST))
    if kind == "set":
        return list(valkey.smembers(key))
    return [valkey.hgetall(key) if kind == "hash" else valkey.get(key)]


def _value(raw: Any, payload: Payload, schema: Callable[[Payload], dict[str, Any]]) -> Any:
    if payload.form.startswith("hash"):
        (part,) = list(schema(payload)["$defs"].values())
        return {name.decode(): _typed(text.decode(), part["properties"][name.decode()]) for name, text in raw.items()}
    if raw.startswith(b"\x1f\x8b"):
        raw = gzip.decompress(raw)
    return json.loads(raw) if "JSON" in payload.form else raw.decode()


def _typed(text: str, schema: dict[str, Any]) -> Any:
    return json.loads(text) if schema.get("type") in NUMBERS else text


def shortened(value: Any) -> Any:
    """Return a value whose lists hold one item at most."""
    if isinstance(value, dict):
        return {name: shortened(inner) for name, inner in value.items()}
    return [shortened(inner) for inner in value[:1]] if isinstance(value, list) else value


def spoilt(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Iterate over what must be refused instead of a value: without a field that has to be there, with one of another type."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for name, kind, inner in _inside(value, schema):
        for what, other in spoilt(inner, kind, root):
            yield f"{name}: {what}", {**value, name: other} if isinstance(value, dict) else [other, *value[1:]]
    for name in schema.get("required", []):
        yield f"without {name}", {key: inner for key, inner in value.items() if key != name}
    if "propertyNames" in schema:
        yield "a name that is none", {"eur/usd": next(iter(value.values()), "text")}
    if "minimum" in schema:
        yield "too low", schema["minimum"] - 1
    if schema:
        yield "another type", "text" if isinstance(value, dict | list) else []


def _inside(value: Any, schema: dict[str, Any]) -> list[tuple[Any, dict[str, Any], Any]]:
    """Return what a value holds, as (name or index, schema, value); one of those that are alike."""
    if isinstance(value, list):
        return [(0, schema["items"], inner) for inner in value[:1]]
    if not isinstance(value, dict):
        return []
    if "properties" in schema:
        return [(name, schema["properties"][name], inner) for name, inner in value.items()]
    other = schema.get("additionalProperties")
    return [(name, other, inner) for name, inner in list(value.items())[:1]] if isinstance(other, dict) else []
