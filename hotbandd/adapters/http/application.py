"""The application: endpoints over the state of the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hotbandd.adapters.http.answers import HANDLERS, answer
from hotbandd.adapters.http.endpoints import ENDPOINTS, Handler
from hotbandd.adapters.http.openapi import description
from hotbandd.adapters.http.state import HttpState


def application(state: HttpState) -> Starlette:
    """Build the ASGI application over a state."""
    described = description(ENDPOINTS)

    async def openapi(_request: Request) -> Response:
        return answer(described)

    routes = [Route(each.path, _over(state, each.handler), methods=[each.method]) for each in ENDPOINTS]
    return Starlette(routes=[*routes, Route("/openapi.json", openapi)], exception_handlers=dict(HANDLERS))


def _over(state: HttpState, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(state, request)

    return endpoint
