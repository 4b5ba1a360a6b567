"""The channels as an AsyncAPI 3 document, made of the same types as the schemas."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from hotbandd.adapters.store.keys import LEADER
from hotbandd.adapters.store.payloads import PAYLOADS, Payload
from hotbandd.core import schemas

_ABOUT: Final = (
    "Messages of hotband in Valkey. Each of them is the document that its key holds as well, where it has one: published in one step with "
    "it, at most once, by the daemon that leads. Whoever was away reads the keys again."
)
_PARAMETERS: Final = {"inst": {"description": "The instrument.", "examples": ["EUR_USD"]}}


def description() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document."""
    payloads = [payload for payload in PAYLOADS if payload.channel is not None]
    kinds, parts = schemas.components([payload.kind for payload in payloads])
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "hotband", "version": version("hotband"), "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {
            "valkey": {"host": "localhost:6379", "protocol": "redis", "description": "The server of VALKEY_URL."}
        },
        "channels": {payload.name: _channel(payload) for payload in payloads},
        "operations": {payload.name: _operation(payload) for payload in payloads},
        "components": {
            "messages": {
                payload.name: _message(payload, schema) for payload, schema in zip(payloads, kinds, strict=True)
            },
            "schemas": parts,
        },
    }


def _channel(payload: Payload) -> dict[str, Any]:
    address = payload.channel or ""
    parameters = {name: told for name, told in _PARAMETERS.items() if f"{{{name}}}" in address}
    channel: dict[str, Any] = {
        "address": address,
        "description": f"{payload.summary}.",
        "servers": [{"$ref": "#/servers/valkey"}],
        "messages": {payload.name: {"$ref": f"#/components/messages/{payload.name}"}},
    }
    return {**channel, "parameters": parameters} if parameters else channel


def _operation(payload: Payload) -> dict[str, Any]:
    fenced = f"Only by the holder of {LEADER}." if payload.kept else "By hotbandd promote."
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{payload.name}"},
        "summary": f"{payload.summary}. {fenced}",
        "messages": [{"$ref": f"#/channels/{payload.name}/messages/{payload.name}"}],
    }


def _message(payload: Payload, schema: dict[str, Any]) -> dict[str, Any]:
    kept = f"Also at {' and '.join(payload.kept)}." if payload.kept else "Kept nowhere."
    return {
        "name": payload.name,
        "summary": f"{payload.summary}.",
        "description": kept,
        "contentType": "application/json",
        "payload": schema,
    }
