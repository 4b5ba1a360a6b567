"""A fake OANDA: a real HTTP server on loopback that speaks the recorded shapes, and misbehaves on demand."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec
import numpy as np

from hotbandd.core.candles import MINUTE_MS, Candles

TOKEN = "a-token-for-tests"
ACCOUNT = "101-004-1435156-001"
MAX_COUNT = 5000

Row = dict[str, Any]


class Fault(StrEnum):
    """How a request can go wrong."""

    THROTTLED = "429"
    UNAVAILABLE = "503"
    UNAUTHORIZED = "401"
    HANG = "no answer until the client gives up"
    CLOSE = "the connection closes before an answer"
    CUT_BODY = "the connection closes in mid-body"
    TRUNCATED_JSON = "half of the JSON, in a whole answer"
    GARBAGE = "an HTML page with status 200"
    DEPTH_BOMB = "brackets nested without end"
    OVERSIZED = "a body without an end in sight"
    OTHER_INSTRUMENT = "candles of another instrument"
    DUPLICATED = "every candle twice"
    REPEATED_PAST = "the candles before the range once more"
    REORDERED = "candles backwards"
    MISSING = "every third candle missing"
    INCOMPLETE_TAIL = "the last candle not complete"
    NAN = "every fifth close NaN"
    HIGH_BELOW_LOW = "every fifth candle upside down"
    MALFORMED = "every fifth candle without a volume"


SPOILING = (Fault.NAN, Fault.HIGH_BELOW_LOW, Fault.MALFORMED)
SPOILT_EVERY = 5


class Request(NamedTuple):
    """One request as it came."""

    path: str
    query: dict[str, str]
    at: float


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str] = {}


@dataclass
class FakeOanda:
    """The server's state, and what came."""

    candles: Mapping[str, Candles]
    now: Callable[[], int]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connected: list[float] = field(default_factory=list)  # when each connection came
    spoilt: Counter[Fault] = field(default_factory=Counter)  # candles that were asked for, sent, and cannot be true
    retry_after: str = "0"
    closes_each: bool = False
    _faults: deque[Fault] = field(default_factory=deque)
    _lasting: Callable[[], Fault | None] = lambda: None
    _open: dict[asyncio.Task[Any], asyncio.StreamWriter] = field(default_factory=dict)

    def misbehave(self, *faults: Fault) -> None:
        """Answer the next requests with these faults, one each."""
        self._faults.extend(faults)

    def misbehave_always(self, fault: Fault | None) -> None:
        """Answer every request with a fault from now on; None ends it."""
        self._lasting = lambda: fault

    def misbehave_at_random(self, random: Random, share: float, faults: Sequence[Fault]) -> None:
        """Answer a share of the requests with one of some faults from now on."""
        self._lasting = lambda: random.choice(faults) if random.random() < share else None

    @property
    def connections(self) -> int:
        """Number of connections that came."""
        return len(self.connected)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connected.append(asyncio.get_running_loop().time())
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer) and not self.closes_each:
                pass
        writer.close()
        del self._open[task]

    async def aclose(self) -> None:
        """Close every connection, and wait until its task has ended."""
        tasks = list(self._open)
        for writer in self._open.values():
            writer.close()
        await asyncio.gather(*tasks)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = urlsplit(head.split(" ", 2)[1])
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        self.requests.append(Request(target.path, query, asyncio.get_running_loop().time()))
        fault = self._faults.popleft() if self._faults else self._lasting()
        if fault is Fault.HANG:
            await reader.read()  # returns once the client closes
        if fault in {Fault.HANG, Fault.CLOSE}:
            return False
        authorized = f"authorization: bearer {TOKEN}" in head.lower() and fault is not Fault.UNAUTHORIZED
        answer = self._answer(target.path, query, fault) if authorized else _error(401, "Insufficient authorization")
        cut = fault is Fault.CUT_BODY
        lines = {"Content-Length": str(len(answer.body)), "Content-Type": "application/json", **answer.headers}
        status = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {answer.status} X\r\n{status}\r\n".encode())
        writer.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        await writer.drain()
        return not cut

    def _answer(self, path: str, query: dict[str, str], fault: Fault | None) -> _Answer:
        return self._faulty(fault) or self._resource(path.strip("/").split("/"), query, fault)

    def _faulty(self, fault: Fault | None) -> _Answer | None:
        answers = {
            Fault.THROTTLED: _error(429, "Too many requests", {"Retry-After": self.retry_after}),
            Fault.UNAVAILABLE: _error(503, "Service unavailable"),
            Fault.GARBAGE: _Answer(200, b"<html>Bad gateway</html>"),
            Fault.DEPTH_BOMB: _Answer(200, b'{"candles":' + b"[" * 100_000),
            Fault.OVERSIZED: _Answer(200, b" " * 3_000_000),
        }
        return answers.get(fault) if fault else None

    def _resource(self, parts: list[str], query: dict[str, str], fault: Fault | None) -> _Answer:
        match parts:
            case ["v3", "instruments", instrument, "candles"]:
                return self._candles(instrument, query, fault)
            case ["v3", "accounts", account, "summary"] if account == ACCOUNT:
                return _json({"account": {"id": ACCOUNT, "balance": "35454.4740"}, "lastTransactionID": "2123"})
            case ["v3", "accounts", account, "openTrades"] if account == ACCOUNT:
                return _json({"trades": [], "lastTransactionID": "2317"})
        return _error(404, "No such resource")

    def _candles(self, instrument: str, query: dict[str, str], fault: Fault | None) -> _Answer:
        held = self.candles.get(instrument)
        if held is None:
            return _error(400, "Invalid value specified for 'instrument'")
        start, count = _ms(query["from"]), int(query.get("count", "0"))
        stop = _ms(query["to"]) if "to" in query else self.now() + 1
        wrong = _refusal(start, stop, count, self.now()) if "to" in query or count else "Invalid value for 'count'"
        if wrong:
            return _error(400, wrong)
        if fault is Fault.REPEATED_PAST:
            start -= 7 * MINUTE_MS
        asked = held.between(start, min(stop, self.now() + 1)).take(slice(0, count or None))
        rows = _misshapen([_row(asked, i, self.now()) for i in range(asked.size)], fault)
        if fault in SPOILING:
            end = start + count * MINUTE_MS if count else stop  # behind a hole, as many as were asked for reach further
            spoilt = zip(rows[::SPOILT_EVERY], asked.t[::SPOILT_EVERY].tolist(), strict=True)
            self.spoilt[fault] += sum(row["complete"] and t < end for row, t in spoilt)
        named = "ABC_XYZ" if fault is Fault.OTHER_INSTRUMENT else instrument
        answer = _json({"instrument": named, "granularity": query["granularity"], "candles": rows})
        return answer._replace(body=answer.body[: len(answer.body) // 2]) if fault is Fault.TRUNCATED_JSON else answer


def _refusal(start: int, stop: int, count: int, now: int) -> str:
    if start > now:
        return "Invalid value specified for 'from'. Time is in the future"
    if stop > now + 1:
        return "Invalid value specified for 'to'. Time is in the future"
    if count > MAX_COUNT or (not count and stop - start > MAX_COUNT * MINUTE_MS):
        return "Maximum value for 'count' exceeded"
    return ""


def _misshapen(rows: list[Row], fault: Fault | None) -> list[Row]:
    match fault:
        case Fault.DUPLICATED:
            return [row for row in rows for _ in range(2)]
        case Fault.REORDERED:
            return rows[::-1]
        case Fault.MISSING:
            return [row for i, row in enumerate(rows) if i % 3 != 1]
        case Fault.INCOMPLETE_TAIL if rows:
            return [*rows[:-1], rows[-1] | {"complete": False}]
    return [_spoilt(row, fault) if i % SPOILT_EVERY == 0 else row for i, row in enumerate(rows)]


def _spoilt(row: Row, fault: Fault | None) -> Row:
    match fault:
        case Fault.NAN:
            return row | {"mid": row["mid"] | {"c": "NaN"}}
        case Fault.HIGH_BELOW_LOW:
            return row | {"mid": row["mid"] | {"h": "0.50000", "l": "9.00000"}}
        case Fault.MALFORMED:
            return {name: value for name, value in row.items() if name != "volume"}
    return row


def _row(candles: Candles, i: int, now: int) -> Row:
    t, o, h, low, c, v, bid, ask = (column[i].item() for column in candles)
    prices = {"o": f"{o:.5f}", "h": f"{h:.5f}", "l": f"{low:.5f}", "c": f"{c:.5f}"}
    row: Row = {"time": _rfc3339(t), "complete": t + MINUTE_MS <= now, "volume": int(v), "mid": prices}
    for side, close in (("bid", bid), ("ask", ask)):
        if not np.isnan(close):
            row[side] = {**prices, "c": f"{close:.5f}"}
    return row


def _json(document: object) -> _Answer:
    return _Answer(200, msgspec.json.encode(document))


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> _Answer:
    return _Answer(status, msgspec.json.encode({"errorMessage": message}), headers or {})


def _ms(rfc3339: str) -> int:
    return int(datetime.fromisoformat(rfc3339).timestamp()) * 1000


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


@asynccontextmanager
async def fake_oanda(candles: Mapping[str, Candles], now: Callable[[], int] | int) -> AsyncIterator[FakeOanda]:
    """Serve candles by instrument, as OANDA would at that moment."""
    fake = FakeOanda(candles, now if callable(now) else lambda: now)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        await fake.aclose()
