"""The application: endpoints over the state of the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hotbandd.adapters.http import page
from hotbandd.adapters.http.answers import HANDLERS, answer
from hotbandd.adapters.http.endpoint import JSON, Endpoint, Handler
from hotbandd.adapters.http.endpoints import ENDPOINTS
from hotbandd.adapters.http.openapi import description
from hotbandd.adapters.http.state import HttpState


def application(state: HttpState) -> Starlette:
    """Build the ASGI application over a state."""
    described = description(ENDPOINTS)

    async def openapi(_request: Request) -> Response:
        return answer(described)

    routes = [
        Route(each.path, _over(state, each.handler), methods=[each.method], middleware=_middleware(each))
        for each in ENDPOINTS
    ]
    rest = [Route("/openapi.json", openapi), *page.routes(state.pairs)]
    return Starlette(routes=[*routes, *rest], exception_handlers=dict(HANDLERS))


def _middleware(endpoint: Endpoint) -> tuple[Middleware, ...]:
    """Compress what pages ask for; metrics and documents are small, or asked for often."""
    return page.COMPRESSED if endpoint in page.ENDPOINTS and endpoint.media == JSON else ()


def _over(state: HttpState, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(state, request)

    return endpoint
