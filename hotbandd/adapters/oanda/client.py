"""The HTTP side of OANDA: deadlines, pacing, bounded retries, and what each answer means."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import anyio
import httpx
import msgspec
import stamina

from hotbandd.adapters.oanda.pacing import Pacer
from hotbandd.core.candle_json import UNREADABLE
from hotbandd.errors import RefusedError, SourceUnreachableError
from hotbandd.settings import MASK

T = TypeVar("T")
_TOKEN = re.compile("[!-~]+")  # anything else would be shown by the error of whoever refuses the header


@dataclass(frozen=True)
class Limits:
    """Bounds on what is asked of OANDA. Its own limits are 100 requests/s and 2 new connections/s; 80 % of those are used."""

    connections: int = 4
    requests_per_sec: float = 80.0
    new_connections_per_sec: float = 1.6
    deadline_sec: float = 15.0  # of one request, body included
    attempts: int = 4
    retry_first_sec: float = 0.5
    retry_max_sec: float = 8.0
    retry_after_max_sec: float = 30.0  # a longer Retry-After is left to the next cycle
    total_sec: float = 60.0  # after which no further attempt begins
    body_bytes: int = 16 * 1024 * 1024


class _RetriableError(Exception):
    """An answer that another attempt may better."""

    def __init__(self, outcome: str, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.outcome = outcome
        self.retry_after = retry_after


class NotYetError(Exception):
    """The range that was asked for has not begun, by OANDA's clock."""


class _Fault(msgspec.Struct):
    errorMessage: str = ""  # noqa: N815  OANDA's name


class _Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """One persistent, paced connection pool to OANDA.

    ``on_request`` hears the outcome of every request: ok, throttled, server_error, timeout, unreachable, garbage, refused.
    ``skew_sec``: how far our clock is ahead of OANDA's by its last answer, to about a second; None before one.
    Raises RefusedError where asking again cannot help, SourceUnreachableError after the bounded retries.
    """

    def __init__(self, token: str, base_url: str, on_request: Callable[[str], None], limits: Limits) -> None:
        if not _TOKEN.fullmatch(token):
            raise RefusedError(
                "OANDA_API_KEY is not a usable token; set it to the personal access token of your account."
            )
        self._token = token.encode()
        self._limits = limits
        self._on_request = on_request
        self.skew_sec: float | None = None
        self._slots = anyio.CapacityLimiter(limits.connections)
        self._requests = Pacer(limits.requests_per_sec)
        self._connections = Pacer(limits.new_connections_per_sec)
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}", "Accept-Datetime-Format": "RFC3339"},
            timeout=limits.deadline_sec,
            limits=httpx.Limits(max_connections=limits.connections, keepalive_expiry=300.0),
        )

    async def get(self, path: str, params: Mapping[str, str | int], decode: Callable[[bytes], T]) -> T:
        """Ask until an answer decodes; ``decode`` raises msgspec.DecodeError for one that cannot be used."""
        limits = self._limits
        try:
            async for attempt in stamina.retry_context(
                on=self._reaction,
                attempts=limits.attempts,
                timeout=limits.total_sec,
                wait_initial=limits.retry_first_sec,
                wait_max=limits.retry_max_sec,
                wait_jitter=limits.retry_first_sec,
            ):
                with attempt:
                    return await self._once(path, params, decode)
        except _RetriableError as fault:
            raise SourceUnreachableError(
                f"OANDA does not answer ({fault}); it is asked again in the next cycle."
            ) from fault
        raise AssertionError("a retry loop ends with an answer or an error")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _reaction(self, fault: Exception) -> bool | float:
        """Tell stamina whether to retry, or after how many seconds."""
        if not isinstance(fault, _RetriableError):
            return False
        if fault.retry_after is None:
            return True
        return fault.retry_after if fault.retry_after <= self._limits.retry_after_max_sec else False

    async def _once(self, path: str, params: Mapping[str, str | int], decode: Callable[[bytes], T]) -> T:
        async with self._slots:
            await self._requests.wait()
            try:
                answer = _answer(await self._exchange(path, params), decode)
            except _RetriableError as fault:
                self._on_request(fault.outcome)
                raise
            except (RefusedError, NotYetError):
                self._on_request("refused")
                raise
        self._on_request("ok")
        return answer

    async def _exchange(self, path: str, params: Mapping[str, str | int]) -> _Response:
        try:
            with anyio.fail_after(self._limits.deadline_sec):
                async with self._http.stream("GET", path, params=params, extensions={"trace": self._trace}) as response:
                    self.skew_sec = _skew_sec(response.headers.get("date"))
                    return _Response(response.status_code, response.headers, await self._body(response))
        except (TimeoutError, httpx.TimeoutException) as fault:
            raise _RetriableError("timeout", f"nothing within {self._limits.deadline_sec:g} s") from fault
        except httpx.DecodingError as fault:
            raise _RetriableError("garbage", "its compression is broken") from fault
        except httpx.TransportError as fault:
            raise _RetriableError("unreachable", f"{type(fault).__name__}: {fault}") from fault

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._limits.body_bytes:
                raise _RetriableError("garbage", f"a body of more than {self._limits.body_bytes} bytes")
        if response.status_code != HTTPStatus.OK:  # what it says is repeated in errors
            return bytes(body).replace(self._token, MASK.encode())
        return bytes(body)

    async def _trace(self, event: str, _: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            await self._connections.wait()


def _skew_sec(date: str | None) -> float | None:
    try:
        return None if date is None else time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _answer(response: _Response, decode: Callable[[bytes], T]) -> T:
    """Decode a good answer; raise what another one asks for."""
    if response.status == HTTPStatus.OK:
        try:
            return decode(response.body)
        except UNREADABLE as fault:
            raise _RetriableError("garbage", f"unreadable JSON: {fault}") from fault
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise _RetriableError("throttled", "too many requests", _seconds(response.headers.get("Retry-After")))
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        after = _seconds(response.headers.get("Retry-After"))
        raise _RetriableError("server_error", f"status {response.status}", after)
    raise _refusal(response)


def _refusal(response: _Response) -> Exception:
    if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return RefusedError(
            f"OANDA refuses the token (status {response.status}); check OANDA_API_KEY, and that OANDA_ENVIRONMENT is the one it was made for."
        )
    why = _message(response.body)
    if response.status == HTTPStatus.BAD_REQUEST and "in the future" in why:
        return NotYetError(why)
    return RefusedError(f"OANDA refuses the request (status {response.status}: {why or 'no reason given'}).")


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Fault).errorMessage[:200]
    except UNREADABLE:
        return ""


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After in seconds; its other form, a date, is left to our own backoff."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
