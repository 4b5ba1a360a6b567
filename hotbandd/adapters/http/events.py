"""Server-sent events: what the page shows, and what changes in it, to each of a bounded number of listeners."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from hotbandd.adapters.http.answers import HEADERS
from hotbandd.adapters.http.state import HttpState
from hotbandd.core.page_documents import Update

MEDIA: Final = "text/event-stream"
TAKE_SEC: Final = 10.0
"""How long a listener may take to take an event; then it is let go, and may come again."""
RETRY_MS: Final = 1500


class Events(StreamingResponse):
    """A stream of events. It ends when the listener goes, lags too far behind or takes nothing, or the daemon stops."""

    def __init__(self, state: HttpState, since: int | None) -> None:
        super().__init__(_stream(state, since), headers={**HEADERS, "X-Accel-Buffering": "no"}, media_type=MEDIA)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events under a deadline each."""

        async def in_time(message: dict[str, object]) -> None:
            with anyio.fail_after(TAKE_SEC):
                await send(message)

        try:
            await super().__call__(scope, receive, in_time)  # type: ignore[arg-type]
        except* TimeoutError:
            pass


async def _stream(state: HttpState, since: int | None) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    async with state.pages.listen(since) as updates:
        async for update in updates:
            yield framed(update)


def framed(update: Update) -> bytes:
    """Return one event; JSON has no line breaks in it."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (update.version, update.name.encode(), update.data)
