"""What there is to know of one address, for routing and for ``/openapi.json``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from hotbandd.adapters.http.state import HttpState

Handler = Callable[[HttpState, Request], Awaitable[Response]]
JSON = "application/json"


class Endpoint(NamedTuple):
    """One address: its handler, the schemas that its answer has one of (none: text), and its query fields (True: required).

    ``judging``: 503 bears the answer too, and says that not all is well. ``secured``: only for who bears the token.
    ``media``: of an answer that has a schema.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    results: tuple[Any, ...] = ()
    fields: Mapping[str, bool] = {}
    body: Any = None
    judging: bool = False
    secured: bool = False
    media: str = JSON
