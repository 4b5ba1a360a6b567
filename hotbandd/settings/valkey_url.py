"""The URL of a Valkey server: which server, which user, and for TLS which certificates.

What it may ask for is listed here. The client would take any option of its own from a URL: one that turns the check of certificates off,
or undoes the deadlines that reliability rests on.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

ACCEPTED: Final = "redis://HOST:PORT, rediss://HOST:PORT (TLS, its certificate checked) or unix:///SOCKET"
CA_FILE: Final = "ssl_ca_certs"
CERTIFICATE: Final = "ssl_certfile"
KEY: Final = "ssl_keyfile"

_ANYWHERE: Final = frozenset({"username", "password", "db"})
_OPTIONS: Final = {
    "redis": _ANYWHERE,
    "rediss": _ANYWHERE | {CA_FILE, CERTIFICATE, KEY},
    "unix": _ANYWHERE,
}
_DATABASE: Final = re.compile(r"[0-9]{1,5}")
_PATH: Final = re.compile(r"/?|/[0-9]{1,5}")


def check(url: str) -> None:
    """Raise ValueError with a clause that says what is wrong with a URL, without repeating any of its values."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError("it is not a URL") from error
    place = parts.path if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in _OPTIONS or not place or not url.isprintable():
        raise ValueError("it has another scheme, or names no server")
    if parts.scheme == "unix" and parts.hostname:
        raise ValueError("a socket is an absolute path, so that three slashes follow unix:")
    if parts.scheme != "unix" and not _PATH.fullmatch(parts.path):
        raise ValueError("what follows the server is no number of a database")
    if parts.fragment:
        raise ValueError("it holds a #; write it as %23 in a password")
    found = options(parts)
    unknown = next((name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if name not in found), None)
    if unknown is not None or not _understood(parts.query, found):
        allowed = ", ".join(sorted(_OPTIONS[parts.scheme]))
        raise ValueError(f"behind its ? it may hold {allowed}, each once and with a value, and nothing else")
    if (CERTIFICATE in found) != (KEY in found):
        raise ValueError(f"{CERTIFICATE} and {KEY} go together")


def options(parts: SplitResult) -> dict[str, str]:
    """Return the options of a URL that a server of its scheme may have."""
    return {name: value for name, value in parse_qsl(parts.query) if name in _OPTIONS.get(parts.scheme, ())}


def _understood(query: str, found: dict[str, str]) -> bool:
    """Tell whether nothing of a query was lost on the way: repeated, empty, or not of the form NAME=VALUE."""
    fields = query.split("&") if query else []
    return len(fields) == len(found) and (_DATABASE.fullmatch(found.get("db", "0")) is not None)
