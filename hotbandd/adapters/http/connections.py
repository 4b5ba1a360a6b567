"""What one connection may take, and all of them together: whoever is slow, silent or many cannot shut others out.

uvicorn bounds how long a connection rests between two requests, but not how long a request or the taking of its answer may last.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

CONNECTIONS: Final = 64
"""Connections at once. One more takes the place of the one that has waited longest for its request, or is refused where all are answered."""
BACKLOG: Final = 128
"""Connections that wait to be accepted."""
HEAD_BYTES: Final = 16_384
"""Length of a request's line and headers, together."""
RECEIVE_SEC: Final = 10.0
"""Until a request is there in whole, from the opening of the connection or the end of the answer before it."""
ANSWER_SEC: Final = 30.0
"""Until its answer begins after that, and how long a part of it may wait to be taken."""
IDLE_SEC: Final = 5
"""Rest between two requests."""
LINGER_SEC: Final = 1.0
"""For the other side to take a refusal."""

_REQUEST_IN_WHOLE: Final = (h11.DONE, h11.MUST_CLOSE)


class Connection(H11Protocol):
    """A connection of uvicorn's under a deadline, and in a bounded number."""

    _since = 0.0
    _timer: asyncio.TimerHandle | None = None
    _answering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for the connection, or refuse it."""
        full = len(self.connections) >= CONNECTIONS
        super().connection_made(transport)
        self._await_request()
        if full and not self._make_room():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests are being answered; ask again later.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Await the next request, which may be there already."""
        self._await_request()
        super().on_response_complete()

    def _await_request(self) -> None:
        self._since = self.loop.time()
        self._answering = False
        self._arm(RECEIVE_SEC)

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        waiting = self._waiting()
        if not waiting and (not self._answering or self._streaming()):
            self._answering = True
            self._arm(ANSWER_SEC)
        elif self.transport.is_closing() or self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.abort()  # in the middle of an answer, or at its end with one that nobody takes
        elif waiting:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The request was not there in whole within {RECEIVE_SEC:.0f} s.")
        else:
            self._refuse(HTTPStatus.GATEWAY_TIMEOUT, f"The answer was not there within {ANSWER_SEC:.0f} s.")

    def _streaming(self) -> bool:
        """Tell whether an answer is under way that the other side takes, as server-sent events are."""
        return self.cycle.response_started and not self.flow.write_paused

    def _waiting(self) -> bool:
        """Tell whether no request is there in whole that is still to be answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete or self.conn.their_state not in _REQUEST_IN_WHOLE

    def _make_room(self) -> bool:
        """End the connection that has waited longest for its request; return whether there was one."""
        waiting = [
            other
            for other in self.connections
            if other is not self and isinstance(other, Connection) and other._waiting()
        ]
        if waiting:
            longest = min(waiting, key=lambda other: other._since)
            self.connections.discard(longest)
            longest.transport.abort()
        return bool(waiting)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        body = msgspec.json.encode({"error": sentence})
        head = f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.connections.discard(self)
        self.transport.write(head.encode() + body)
        self.transport.close()
        self.loop.call_later(LINGER_SEC, self.transport.abort)
