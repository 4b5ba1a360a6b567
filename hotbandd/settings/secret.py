"""Values that nobody gets to see by accident."""

from __future__ import annotations

import hmac
import re
from typing import Final
from urllib.parse import parse_qs, unquote

from hotbandd.settings.urls import split

MASK: Final = "***"

_URL: Final = re.compile(r"^([^:?#]*://|)([^?#]*@|)([^?#]*[?#]?)(.*)$", re.DOTALL)
"""Scheme; user and password; server, path and the sign behind it; query or fragment."""

_BETWEEN_PARTS: Final = re.compile(r"[/@:?&=#]")
_USER: Final = re.compile(r"[^/@]*:([^/@]+)@")
_TOKEN: Final = re.compile(r"(?=.*[0-9])[^.]{8,}|[^.]{16,}")
"""Long enough to be one, and neither a word nor a host."""


class Secret:
    """A value whose text shows only where it is asked for."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def matches(self, candidate: str) -> bool:
        """Compare with a value from outside, in a time that tells nothing about either."""
        return hmac.compare_digest(self._value.encode(), candidate.encode("utf-8", "surrogateescape"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)


def url_passwords(url: str) -> tuple[str, ...]:
    """Return the passwords that a URL carries, as written and as meant."""
    parts = split(url)
    written = parts.password
    options = parse_qs(parts.query)
    found = [
        *((written, unquote(written)) if written else ()),
        *options.get("password", []),
        *options.get("sentinel_password", []),
    ]
    return tuple(dict.fromkeys(found))


def url_tokens(url: str) -> tuple[str, ...]:
    """Return a URL that may hold tokens anywhere, and its parts that are long enough to be some: what may stand alone in a message."""
    _, _, rest = url.partition("://")
    tokens = [part for part in map(unquote, _BETWEEN_PARTS.split(rest)) if _TOKEN.fullmatch(part)]
    passwords = [found[1]] if (found := _USER.match(rest)) else []
    return tuple(dict.fromkeys((url, rest, *passwords, *tokens)))


def masked_url(url: str) -> str:
    """Return a URL without user, password and query."""
    return _URL.sub(
        lambda found: found[1] + (f"{MASK}@" if found[2] else "") + found[3] + (found[4] and MASK), url, count=1
    )
