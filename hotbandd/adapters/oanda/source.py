"""OANDA as a source of candles: pages of at most 5 000, forward from the first minute that is still wanted.

Pages ask for ``from`` and ``count``, never for ``to``: OANDA refuses a ``to`` in its future and a range of more than 5 000
minutes, and a count steps over weekends. Reference: https://developer.oanda.com/rest-live-v20/instrument-ep/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Literal, NamedTuple
from urllib.parse import quote

import anyio.to_thread
import msgspec

from hotbandd.adapters.oanda.client import Client, Limits, NotYetError
from hotbandd.core.candle_json import Decoded, decode_rows
from hotbandd.core.candles import MINUTE_MS, check, empty
from hotbandd.errors import RefusedError
from hotbandd.ports import Page

Environment = Literal["practice", "live"]
BASE_URLS: dict[Environment, str] = {
    "practice": "https://api-fxpractice.oanda.com",
    "live": "https://api-fxtrade.oanda.com",
}
MAX_COUNT = 5000
Account = dict[str, object]


class _Body(msgspec.Struct):
    instrument: str
    granularity: Literal["M1"]
    candles: list[msgspec.Raw]


class _Step(NamedTuple):
    """One page, and the first minute that is wanted after it; None where there is nothing beyond yet."""

    page: Page
    next_ms: int | None


class OandaSource:
    """Candles, account and open trades from OANDA.

    ``on_request`` hears the outcome of every request (see ``Client``). Raises RefusedError where asking again cannot help,
    SourceUnreachableError after its bounded retries.
    """

    name = "oanda"

    def __init__(
        self,
        token: str,
        environment: Environment,
        *,
        account_id: str | None = None,
        base_url: str | None = None,
        on_request: Callable[[str], None] = lambda _: None,
        page_minutes: int = MAX_COUNT,
        limits: Limits | None = None,
    ) -> None:
        self._account_id = account_id
        self._page_minutes = min(page_minutes, MAX_COUNT)
        self._client = Client(token, base_url or BASE_URLS[environment], on_request, limits or Limits())

    async def fetch(self, instrument: str, start_ms: int, end_ms: int) -> AsyncIterator[Page]:
        """Iterate over pages of the complete candles that open at or after the start and close by the end."""
        cursor: int | None = -(-start_ms // MINUTE_MS) * MINUTE_MS
        while cursor is not None and cursor + MINUTE_MS <= end_ms:
            step = await self._step(instrument, cursor, end_ms)
            if step.page.candles.size or step.page.refused:
                yield step.page
            cursor = step.next_ms

    @property
    def skew_sec(self) -> float | None:
        """How far our clock is ahead of OANDA's, by its last answer; None before one."""
        return self._client.skew_sec

    async def account(self) -> Account:
        """Return the account's summary, as OANDA words it."""
        return await self._of_account("summary")

    async def open_trades(self) -> Account:
        """Return the open trades, as OANDA words them."""
        return await self._of_account("openTrades")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _of_account(self, what: str) -> Account:
        if not self._account_id:
            raise RefusedError("OANDA_ACCOUNT_ID is not set; set it to the account that is to be shown.")
        path = f"/v3/accounts/{quote(self._account_id, safe='')}/{what}"
        return await self._client.get(path, {}, msgspec.json.Decoder(Account).decode)

    async def _step(self, instrument: str, cursor: int, end_ms: int) -> _Step:
        count = min(self._page_minutes, (end_ms - cursor) // MINUTE_MS)
        query: dict[str, str | int] = {"granularity": "M1", "price": "MBA", "from": _rfc3339(cursor), "count": count}
        path = f"/v3/instruments/{quote(instrument, safe='')}/candles"
        try:
            rows = await self._client.get(path, query, partial(_rows, instrument))
        except NotYetError:
            return _Step(Page(empty(), {}), None)
        decoded = await anyio.to_thread.run_sync(partial(decode_rows, rows, oanda=True))
        return _Step(_page(decoded, cursor, end_ms), _next(decoded, cursor, count))


def _rows(instrument: str, body: bytes) -> list[msgspec.Raw]:
    answer = msgspec.json.decode(body, type=_Body)
    if answer.instrument.replace("/", "_") != instrument:
        raise msgspec.ValidationError(f"candles of {answer.instrument}, asked for {instrument}")
    return answer.candles


def _page(decoded: Decoded, cursor: int, end_ms: int) -> Page:
    """Keep what was asked for: neither earlier than the cursor, which would repeat a page, nor after the end."""
    wanted = decoded.candles.take((decoded.candles.t >= cursor) & (decoded.candles.t <= end_ms - MINUTE_MS))
    kept, refused = check(wanted)
    incomplete = sum(t >= cursor for t in decoded.incomplete)
    early = int((decoded.candles.t < cursor).sum())
    counts = Counter(refused) + Counter(incomplete=incomplete, malformed=len(decoded.faults), not_asked_for=early)
    return Page(kept, dict(counts))


def _next(decoded: Decoded, cursor: int, count: int) -> int | None:
    """Return where the next page begins; None past the forming candle, or where no later one came."""
    newest = int(decoded.candles.t.max(initial=-1))
    if any(t > newest for t in decoded.incomplete):
        return None
    if newest >= cursor:
        return newest // MINUTE_MS * MINUTE_MS + MINUTE_MS
    return cursor + count * MINUTE_MS if decoded.faults else None


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
