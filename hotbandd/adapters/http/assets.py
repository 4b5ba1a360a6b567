"""The files of the page, and the chart library out of the installed package; each compressed once, and known by its hash."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

import anyio
from starlette.requests import Request
from starlette.responses import Response

from hotbandd.adapters.http.answers import HEADERS

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Only what this server has, and nothing that is written into the page: there is no inline script or style."""

KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
CHART_LIBRARY: Final = "plotly.min.js"
_LEVEL: Final = 6


class Asset(NamedTuple):
    """A file: its bytes, compressed too, its kind, and a name for exactly this content."""

    body: bytes
    packed: bytes
    kind: str
    tag: str

    def answer(self, request: Request, status: int = 200) -> Response:
        """Return the file, or that the browser has it already."""
        headers = {
            **HEADERS,
            "Cache-Control": "no-cache",
            "Content-Security-Policy": POLICY,
            "ETag": self.tag,
            "Vary": "Accept-Encoding",
        }
        if status == 200 and self.tag in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, status, {**headers, "Content-Encoding": "gzip"}, self.kind)
        return Response(self.body, status, headers, self.kind)


class Assets:
    """The files of ``hotbandd/web`` by name, read at once; the chart library with the first page that asks for it."""

    def __init__(self) -> None:
        folder = files("hotbandd").joinpath("web")
        self._files = {
            each.name: _asset(each.name, each.read_bytes())
            for each in folder.iterdir()
            if each.name.rpartition(".")[2] in KINDS
        }
        self._library: Asset | None = None
        self._reading = anyio.Lock()

    def get(self, name: str) -> Asset | None:
        """Return a file of the page."""
        return self._files.get(name)

    async def library(self) -> Asset:
        """Return the chart library, some megabytes; read and compressed beside the event loop."""
        async with self._reading:
            if self._library is None:
                self._library = await anyio.to_thread.run_sync(_chart_library)
        return self._library


def _chart_library() -> Asset:
    return _asset(CHART_LIBRARY, files("plotly").joinpath("package_data", CHART_LIBRARY).read_bytes())


def _asset(name: str, body: bytes) -> Asset:
    tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    return Asset(body, gzip.compress(body, _LEVEL, mtime=0), KINDS[name.rpartition(".")[2]], tag)
