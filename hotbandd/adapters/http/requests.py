"""Reading requests strictly: what is missing, malformed, repeated or unknown is refused, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from hotbandd.errors import UsageError
from hotbandd.settings import Secret, instrument

T = TypeVar("T")
COUNT_MAX: Final = 5000
_COUNT: Final = re.compile("[0-9]{1,4}")
_BODY_MAX: Final = 4096
_SCHEME: Final = "bearer "


def parameters(request: Request, *, required: Sequence[str] = (), optional: Sequence[str] = ()) -> dict[str, str]:
    """Return the query's fields, each at most once and none unknown; otherwise 400."""
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    for name in names:
        if name not in {*required, *optional}:
            raise HTTPException(400, f"There is no field {name[:40]!r} here.")
        if names.count(name) > 1:
            raise HTTPException(400, f"The field {name!r} is given more than once.")
    for name in required:
        if name not in names:
            raise HTTPException(400, f"The field {name!r} is missing.")
    return dict(given)


def followed(text: str, pairs: Sequence[str]) -> str:
    """Return an instrument that is followed; 400 if it is none, 404 if it is not followed."""
    try:
        name = instrument(text)
    except UsageError as error:
        raise HTTPException(400, str(error)) from error
    if name not in pairs:
        raise HTTPException(404, f"{name} is not among HOTBAND_PAIRS.")
    return name


def count(text: str) -> int:
    """Return a number of candles; otherwise 400."""
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= COUNT_MAX:
        raise HTTPException(400, f"The field 'count' must be a whole number from 1 to {COUNT_MAX}.")
    return int(text)


def authorize(request: Request, token: Secret | None) -> None:
    """Let only who bears the token pass: 403 while none is set, 401 for another one."""
    if token is None:
        raise HTTPException(403, "This is off; set HOTBAND_HTTP_TOKEN to turn it on.")
    given = request.headers.get("authorization", "")
    if given[: len(_SCHEME)].lower() != _SCHEME or not token.matches(given[len(_SCHEME) :]):
        raise HTTPException(401, "The bearer token is missing or wrong.", {"WWW-Authenticate": "Bearer"})


async def body(request: Request, kind: type[T]) -> T:
    """Return a small JSON body that meets its schema; otherwise 400 or 413."""
    received = bytearray()
    try:
        async for part in request.stream():
            received += part
            if len(received) > _BODY_MAX:
                raise HTTPException(413, f"The body is longer than {_BODY_MAX} bytes.", {"Connection": "close"})
    except ClientDisconnect as error:
        raise HTTPException(400, "The body ended before its end.") from error
    try:
        return msgspec.json.decode(bytes(received), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"The body is not what is asked for here: {error}.") from error
