"""Requests that a browser was talked into: by a name that leads here (DNS rebinding), or from a page of another site."""

from __future__ import annotations

import re
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hotbandd.adapters.http.answers import answer

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::[0-9]*)?")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN: Final = frozenset({"same-origin", "none"})


class OwnOrigin:
    """Lets requests pass that name this server, and changes that come from its own page or from no page at all.

    Which names lead to a server that listens beyond this machine is not ours to know: there any name will do.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = _LOOPBACK | {host} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            status, sentence = refusal
            await answer({"error": sentence}, status)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[HTTPStatus, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._names is not None and host and _name(host) not in self._names:
            return HTTPStatus.MISDIRECTED_REQUEST, f"{host[:60]!r} is not this server's name; ask for localhost."
        if scope["method"] not in _SAFE and not _from_here(headers, host):
            return HTTPStatus.FORBIDDEN, "Another site's page may change nothing here."
        return None


def is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(host: str) -> str | None:
    found = _HOST.fullmatch(host)
    return found["name"].strip("[]").lower() if found else None


def _from_here(headers: Headers, host: str) -> bool:
    """Believe a browser that says where a request comes from; programs say nothing."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == host
