"""A receiver of messages: a real HTTP server on loopback that remembers what came, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Mood = Literal["well", "500", "slow", "garbage", "close"]


class Receiver:
    """What came, and how the next message is answered."""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.received: list[dict[str, Any]] = []
        self.requests = 0
        self.released = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """Return its address as apprise writes it, with a token in its path."""
        return f"json://127.0.0.1:{self.port}/hook/s3cret-t0ken-abcdef"

    @property
    def bodies(self) -> list[str]:
        """Return what the messages said."""
        return [message["message"] for message in self.received]

    def until(self, count: int, seconds: float = 30.0) -> None:
        """Wait until so many messages have come."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} of {count} messages came"
            time.sleep(0.02)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.requests += 1
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if told.mood == "slow":  # a byte now and then, so that no read of the client's takes too long
                with suppress(OSError):
                    while not told.released.wait(0.2):
                        self.wfile.write(b"H")
                return
            if told.mood == "close":
                self.connection.close()
                return
            if told.mood == "garbage":
                self.wfile.write(b"\x00\xff" * 2000)
                return
            if told.mood == "well":
                told.received.append(message)
            self.send_response(500 if told.mood == "500" else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield told
    finally:
        told.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
