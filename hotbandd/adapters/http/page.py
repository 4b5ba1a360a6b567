"""The page at ``/`` and one for each instrument, and the data that they live on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hotbandd.adapters.http import requests
from hotbandd.adapters.http.answers import answer, content
from hotbandd.adapters.http.assets import CHART_LIBRARY, Assets
from hotbandd.adapters.http.endpoint import JSON, Endpoint
from hotbandd.adapters.http.events import MEDIA, Events
from hotbandd.adapters.http.state import HttpState
from hotbandd.core.chart import HOURS_MAX, Chart
from hotbandd.core.page_documents import Beat, Change, Page

_VERSION: Final = re.compile("[0-9]{1,16}")
_HOURS: Final = re.compile("[0-9]{1,4}")
_AGAIN: Final = {"Retry-After": "5"}
COMPRESSED: Final = (Middleware(GZipMiddleware, minimum_size=1024, compresslevel=4),)


async def page(state: HttpState, request: Request) -> Response:
    """Answer with all that the page shows."""
    requests.parameters(request)
    found = await state.pages.snapshot()
    if found is None:
        raise HTTPException(503, "The page is not there yet; ask again in a moment.", _AGAIN)
    return content(found, JSON)


async def events(state: HttpState, request: Request) -> Response:
    """Answer with a stream of what changes; a browser that comes again says itself what it has seen."""
    given = requests.parameters(request, optional=["since"])
    seen = request.headers.get("last-event-id", given.get("since"))
    if seen is not None and not _VERSION.fullmatch(seen):
        raise HTTPException(400, "The field 'since' must be the version of a page.")
    if not state.pages.room:
        raise HTTPException(503, "Too many pages listen already; close one, or ask /api/page instead.", _AGAIN)
    return Events(state, None if seen is None else int(seen))


async def chart(state: HttpState, request: Request) -> Response:
    """Answer with what is drawn of one instrument."""
    given = requests.parameters(request, required=["hours"])
    name = requests.followed(request.path_params["instrument"], state.pairs)
    if not _HOURS.fullmatch(given["hours"]) or not 1 <= int(given["hours"]) <= HOURS_MAX:
        raise HTTPException(400, f"The field 'hours' must be a whole number from 1 to {HOURS_MAX}.")
    return answer(await state.chart(name, int(given["hours"])))


ENDPOINTS: Final = (
    Endpoint("GET", "/api/page", page, "All that the page shows", (Page,)),
    Endpoint(
        "GET",
        "/api/events",
        events,
        "Server-sent events: `page` with all of it, `change` with the parts that changed, `beat` as a sign of life",
        (Page, Change, Beat),
        {"since": False},
        media=MEDIA,
    ),
    Endpoint(
        "GET",
        "/api/instrument/{instrument}/chart",
        chart,
        f"Candles, metrics and back-tested trades of an instrument over the last 1 to {HOURS_MAX} hours",
        (Chart,),
        {"hours": True},
    ),
)


def routes(pairs: Sequence[str]) -> list[BaseRoute]:
    """Return the routes of the pages and their files."""
    assets = Assets()

    async def file(name: str, request: Request, status: int = 200) -> Response:
        found = await assets.library() if name == CHART_LIBRARY else assets.get(name)
        if found is None:
            raise HTTPException(404)
        return found.answer(request, status)

    async def overview(request: Request) -> Response:
        return await file("index.html", request)

    async def instrument(request: Request) -> Response:
        return await file("instrument.html", request, 200 if request.path_params["instrument"] in pairs else 404)

    async def web(request: Request) -> Response:
        return await file(request.path_params["name"], request)

    return [
        Route("/", overview),
        Route("/instrument/{instrument}", instrument),
        Route("/web/{name}", web),
    ]
