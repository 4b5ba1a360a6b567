"""The HTTP server of a running daemon under clients that mean it ill: it stays bounded, says no, and answers the next one."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from hotbandd.adapters.http import connections, requests, serve
from tests.fuzz.clients import Client, closed, opened
from tests.fuzz.conftest import TOKEN
from tests.processes import Daemon

HEAD = b"POST /api/kill-switch HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n" % TOKEN.encode()
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
LAG_SEC = 2.0
BEYOND = (
    connections.CONNECTIONS + 16
)  # descriptors beyond those at rest: its connections, and what else it opens for a moment


@pytest.fixture
def port(daemon: Daemon) -> Iterator[int]:
    """Return the port of the daemon, which after each attack is as it was: it answers, it leads, nothing is left open, nothing is told."""
    before, told = descriptors(daemon), len(daemon.stderr)
    yield int(daemon.event("daemon.started")["http"].rpartition(":")[2])
    assert daemon.get("/healthz")[0] == 200
    daemon.until(lambda: daemon.get("/readyz")[0] == 200, "/readyz with 200")
    daemon.until(lambda: descriptors(daemon) <= before + 2, f"no more than {before} open files")
    assert not [
        line for line in daemon.stderr[told:].splitlines() if '"level": "error"' in line or "Invalid HTTP" in line
    ]


def descriptors(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))


def memory(daemon: Daemon) -> int:
    """Return the resident memory of the daemon, bytes."""
    return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def lag(daemon: Daemon) -> float:
    """Return the worst lag of the event loop of late, s."""
    return float(daemon.get("/healthz")[1]["event_loop_lag_seconds"])


async def asked(port: int) -> float:
    """Ask for the health as anyone would, and return how long that took."""
    began = time.monotonic()
    [client] = await opened(port, 1, GET + b"Connection: close\r\n\r\n")
    assert (await client.rest()).startswith(b"HTTP/1.1 200 ")
    await client.close()
    return time.monotonic() - began


@pytest.mark.parametrize(
    "first", [b"", b"G", GET, HEAD + b"Content-Length: 2000\r\n\r\n{"], ids=["silent", "begun", "head", "body"]
)
async def test_slow_clients_shut_nobody_out(daemon: Daemon, port: int, full: bool, first: bytes) -> None:
    before = descriptors(daemon)
    slow = await opened(port, 2000 if full else 300, first)
    for _ in range(5):
        assert await asked(port) < 5
        assert descriptors(daemon) <= before + BEYOND
        await asyncio.gather(*(client.send(b"x") for client in slow))
    await closed(slow)


async def test_thousands_of_connections_at_once_are_answered_or_refused(
    daemon: Daemon, port: int, full: bool, note: Callable[[str], None]
) -> None:
    worst, answered, asked_in_all = 0.0, 0, 0
    for _ in range(20 if full else 2):
        clients = await opened(port, 2000, GET + b"Connection: close\r\n\r\n")
        replies = await asyncio.gather(*(client.rest() for client in clients))
        await closed(clients)
        assert {reply[:13] for reply in replies} <= {b"", b"HTTP/1.1 200 ", b"HTTP/1.1 503 "}
        answered += sum(reply.startswith(b"HTTP/1.1 200 ") for reply in replies)
        asked_in_all += 2000
        worst = max(worst, lag(daemon))
        assert await asked(port) < 5
    assert answered
    assert worst < LAG_SEC
    note(f"{asked_in_all} connections, {answered} answered, worst lag of the event loop {worst:.3f} s")


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_body_without_end_is_refused_at_its_bound(daemon: Daemon, port: int, framing: str) -> None:
    before = memory(daemon)
    head, part = {
        "length": (b"Content-Length: 1000000000000\r\n\r\n", b"1" * 65_536),
        "chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n%s\r\n" % (b"1" * 65_536)),
    }[framing]
    for _ in range(20):
        [client] = await opened(port, 1, HEAD + head)
        for _ in range(100):
            if not await client.send(part):
                break
        else:
            pytest.fail("the server took more than 6 MB")
        await client.close()
    assert memory(daemon) < before + 30_000_000


@pytest.mark.parametrize("end", [b"X-Long: " + b"y" * 2_000_000, b"X: y\r\n" * 200_000, b"\r\n" * 100_000])
async def test_a_head_without_end_is_refused_at_its_bound(port: int, end: bytes) -> None:
    [client] = await opened(port, 1, GET)
    await client.send(end)
    assert (await client.rest())[:13] in {b"", b"HTTP/1.1 400 ", b"HTTP/1.1 200 "}
    await client.close()


async def test_a_length_beyond_all_bounds_is_refused(port: int) -> None:
    for length in (b"-1", b"1e3", b"9" * 4000, b"0x10", b" ", b"1\r\nContent-Length: 2"):
        [client] = await opened(port, 1, HEAD + b"Content-Length: " + length + b"\r\n\r\n{}")
        assert (await client.rest()).startswith(b"HTTP/1.1 4"), length
        await client.close()


async def test_garbage_in_a_pipeline_ends_the_connection_and_fills_no_log(
    daemon: Daemon, port: int, full: bool
) -> None:
    random_ = random.Random(1)
    told = len(daemon.stderr)
    for _ in range(3000 if full else 100):
        [client] = await opened(
            port, 1, (GET + b"\r\n") * random_.randrange(4) + random_.randbytes(random_.randrange(1, 400)) + b"\r\n\r\n"
        )
        assert (await client.rest())[:9] in {b"", b"HTTP/1.1 "}
        await client.close()
    assert len(daemon.stderr) - told < 5000


async def test_many_requests_on_one_connection_are_answered_in_order(port: int) -> None:
    [client] = await opened(
        port, 1, (GET + b"\r\n") * 300 + b"GET /none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    replies = await client.rest()
    assert replies.count(b"HTTP/1.1 200 ") == 300
    assert replies.rpartition(b"HTTP/1.1 ")[2].startswith(b"404 ")
    await client.close()


@pytest.mark.parametrize("first", [b"", GET, GET + b"\r\n", HEAD + b"Content-Length: 9\r\n\r\n{"])
async def test_half_closed_connections_leave_nothing_open(port: int, first: bytes) -> None:
    clients = await opened(port, 50, first)
    for client in clients:
        client.writer.write_eof()
    await asyncio.gather(*(client.rest() for client in clients))
    await closed(clients)


class Slow:
    """A server of its own, whose deadlines are short, and what it serves."""

    port: int

    async def large(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * 50_000_000)

    async def small(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("small")

    async def echo(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(await requests.body(request, int)))

    async def stream(self, _request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(12):
                await anyio.sleep(0.2)
                yield b"part"

        return StreamingResponse(parts())

    async def hang(self, _request: Request) -> PlainTextResponse:
        await anyio.sleep_forever()
        raise AssertionError


class Started:
    """Receives the URL of a server that has started."""

    def __init__(self) -> None:
        self.url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def started(self, value: str) -> None:
        self.url.set_result(value)


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Slow]:
    for name in ("RECEIVE_SEC", "ANSWER_SEC", "IDLE_SEC", "LINGER_SEC"):
        monkeypatch.setattr(connections, name, 0.4)
    served = Slow()
    each = (served.large, served.small, served.echo, served.stream, served.hang)
    routes = [Route(f"/{one.__name__}", one, methods=["GET", "POST"]) for one in each]
    started = Started()
    serving = asyncio.create_task(serve(Starlette(routes=routes), "127.0.0.1", 0, task_status=started))
    served.port = int((await started.url).rpartition(":")[2])
    yield served
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def trickle(client: Client, part: bytes) -> None:
    """Send a little, again and again, until the other side is tired of it."""
    for _ in range(400):
        if not await client.send(part):
            return
        await asyncio.sleep(0.05)
    pytest.fail("it is never tired")


async def test_a_request_that_trickles_in_is_ended_at_its_deadline(slow: Slow) -> None:
    post = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\n"
    for first, part in ((b"GET /small HTTP/1.1\r\nHost: localhost\r\nX: ", b"y"), (post, b" ")):
        [client] = await opened(slow.port, 1, first)
        await trickle(client, part)
        reply = await client.rest()
        assert reply == b"" or b"408 Request Timeout" in reply
        await client.close()


async def test_a_silent_connection_is_told_why_it_ends(slow: Slow) -> None:
    for first in (b"", b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\n"):
        [client] = await opened(slow.port, 1, first)
        reply = await client.rest()
        assert reply.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert reply.endswith(b'{"error":"The request was not there in whole within 0 s."}')
        await client.close()


async def test_a_body_that_nobody_reads_may_not_trickle_for_ever(slow: Slow) -> None:
    [client] = await opened(slow.port, 1, b"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n")
    await trickle(client, b" ")
    await client.close()


@pytest.mark.parametrize("path", [b"large", b"hang"])
async def test_an_answer_that_is_not_taken_or_does_not_come_is_ended_at_its_deadline(slow: Slow, path: bytes) -> None:
    [client] = await opened(slow.port, 1, b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
    began = time.monotonic()
    client.writer.transport.pause_reading()
    await asyncio.sleep(1.6)
    client.writer.transport.resume_reading()
    reply = await client.rest()
    assert len(reply) < 50_000_000
    assert path == b"large" or reply.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert time.monotonic() - began < 10
    await client.close()


async def test_a_stream_that_is_taken_may_last(slow: Slow) -> None:
    [client] = await opened(slow.port, 1, b"GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await client.rest()).count(b"part") == 12
    await client.close()


async def test_while_all_are_answered_one_more_is_refused_with_a_sentence(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "RECEIVE_SEC", 30.0)
    busy = await opened(slow.port, connections.CONNECTIONS, b"GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.sleep(0.3)
    [more] = await opened(slow.port)
    reply = await more.rest()
    assert reply.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"ask again later" in reply
    await closed([*busy, more])
