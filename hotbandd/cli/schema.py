"""``hotbandd schema``: what programs may expect of every key, channel, file and page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import typer
from rich.table import Table

from hotbandd.adapters.http.endpoints import ENDPOINTS
from hotbandd.adapters.http.openapi import description as openapi
from hotbandd.adapters.store.asyncapi import description as asyncapi
from hotbandd.adapters.store.payloads import PAYLOADS, find, schema_of
from hotbandd.cli import common

WHOLE: Final[Mapping[str, tuple[Callable[[], dict[str, Any]], str, str]]] = {
    "openapi": (lambda: openapi(ENDPOINTS), "/openapi.json", "All pages, OpenAPI 3.1"),
    "asyncapi": (asyncapi, "docs/asyncapi.yaml", "All channels, AsyncAPI 3.0"),
}


def schema_command(name: str | None, *, as_json: bool) -> None:
    """Print one schema, or list what there is; as JSON, all of them by name."""
    if name is None:
        if as_json:
            common.print_json({payload.name: schema_of(payload) for payload in PAYLOADS})
        else:
            _list()
        return
    found = WHOLE[name][0]() if name in WHOLE else schema_of(find(name))
    text = msgspec.json.encode(found)
    typer.echo(text if as_json else msgspec.json.format(text, indent=2))


def _list() -> None:
    table = Table("name", "where", "what", box=None, header_style="bold", padding=(0, 1))
    for payload in PAYLOADS:
        table.add_row(payload.name, "\n".join(payload.places), payload.summary)
    for name, (_, place, summary) in WHOLE.items():
        table.add_row(name, place, summary)
    console = common.console()
    console.print(table, highlight=False, markup=False)
    console.print("hotbandd schema NAME prints one; a key, channel or file will do for its name.", style="dim")
