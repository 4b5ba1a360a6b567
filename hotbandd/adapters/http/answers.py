"""Answers: documents as they are in Valkey, and every error as one sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hotbandd.core.documents import encode
from hotbandd.errors import CorruptPayloadError, RefusedError, UnreachableError

log = structlog.get_logger()

ExceptionHandler = Callable[[Request, Exception], Awaitable[Response]]
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as JSON."""
    return content(encode(value), "application/json", status, headers)


def content(value: bytes, media_type: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return bytes."""
    return Response(value, status, {**HEADERS, **(headers or {})}, media_type)


def nothing_yet(what: str) -> HTTPException:
    """Return the error for what was never published, or has expired: unknown is not zero."""
    return HTTPException(404, f"There is no {what}: none was published yet, or it has expired.")


async def _refused(_request: Request, error: Exception) -> Response:
    status, detail, headers = 500, "", None
    if isinstance(error, HTTPException):
        status, detail, headers = error.status_code, error.detail, error.headers
    bare = detail == HTTPStatus(status).phrase
    return answer({"error": f"{detail}." if bare else detail}, status, headers)


async def _unreachable(_request: Request, error: Exception) -> Response:
    return answer({"error": str(error)}, 503, {"Retry-After": "2"})


async def _refused_outside(_request: Request, error: Exception) -> Response:
    return answer({"error": str(error)}, 502)


async def _corrupt(request: Request, error: Exception) -> Response:
    log.error("http.corrupt_payload", path=request.url.path, error=str(error))
    return answer({"error": str(error)}, 500)


async def _broken(_request: Request, _error: Exception) -> Response:
    return answer({"error": "This went wrong inside of hotband; its log says why."}, 500)


HANDLERS: Final[Mapping[type[Exception], ExceptionHandler]] = {
    HTTPException: _refused,
    UnreachableError: _unreachable,
    RefusedError: _refused_outside,
    CorruptPayloadError: _corrupt,
    Exception: _broken,
}
