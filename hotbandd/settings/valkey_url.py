"""The URL of the store: which server, or which Sentinels or cluster, which user, and for TLS which certificates.

What it may ask for is listed here. The client would take any option of its own from a URL: one that turns the check of certificates off,
or undoes the deadlines that reliability rests on.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hotbandd.settings.urls import split

ACCEPTED: Final = (
    "redis://HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/MASTER or redis+cluster://HOST:PORT,HOST:PORT, "
    "each with rediss in the place of redis for TLS (its certificate checked), or unix:///SOCKET"
)
CA_FILE: Final = "ssl_ca_certs"
CERTIFICATE: Final = "ssl_certfile"
KEY: Final = "ssl_keyfile"
SENTINEL_USER: Final = "sentinel_username"
SENTINEL_PASSWORD: Final = "sentinel_password"  # noqa: S105  the name of an option

Layout = Literal["server", "sentinel", "cluster"]

_ANYWHERE: Final = frozenset({"username", "password"})
_TLS: Final = frozenset({CA_FILE, CERTIFICATE, KEY})
_LAYOUTS: Final[dict[str, Layout]] = {"": "server", "sentinel": "sentinel", "cluster": "cluster"}
_OPTIONS: Final[dict[Layout, frozenset[str]]] = {
    "server": _ANYWHERE | {"db"},
    "sentinel": _ANYWHERE | {SENTINEL_USER, SENTINEL_PASSWORD},
    "cluster": _ANYWHERE,
}
_PORTS: Final[dict[Layout, int]] = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_DATABASE: Final = re.compile(r"[0-9]{1,5}")
_PATHS: Final[dict[Layout, tuple[re.Pattern[str], str]]] = {
    "server": (re.compile(r"/?|/[0-9]{1,5}"), "what follows the server is no number of a database"),
    "sentinel": (
        re.compile(r"/[A-Za-z0-9._-]+(/|/[0-9]{1,5})?"),
        "behind the Sentinels belongs the name of the primary, /MASTER or /MASTER/DB",
    ),
    "cluster": (re.compile(r"/?|/0"), "a cluster has no databases but 0"),
}


class Several(NamedTuple):
    """What a URL of Sentinels or of a cluster says; ``options``: what stands behind its ``?``, without user and password."""

    layout: Layout
    tls: bool
    nodes: tuple[tuple[str, int], ...]
    master: str
    database: int
    username: str | None
    password: str | None
    options: dict[str, str]


def layout(url: str) -> Layout:
    """Return what a URL leads to."""
    return _LAYOUTS.get(url.partition(":")[0].partition("+")[2].lower(), "server")


def several(url: str) -> Several:
    """Take a checked URL of Sentinels or of a cluster apart."""
    parts, kind = split(url), layout(url)
    found = options(parts)
    username, password = (
        found.pop(name, None) or (unquote(written) if written else None)
        for name, written in (("username", parts.username), ("password", parts.password))
    )
    master, _, database = parts.path.strip("/").partition("/") if kind == "sentinel" else ("", "", "")
    nodes = tuple(_node(node, _PORTS[kind]) for node in parts.netloc.rpartition("@")[2].split(","))
    return Several(kind, _tls(parts), nodes, master, int(database or 0), username, password, found)


def check(url: str) -> None:
    """Raise ValueError with a clause that says what is wrong with a URL, without repeating any of its values."""
    try:
        parts = split(url)
        named = all(host for host, _ in _nodes(parts))
    except ValueError as error:
        raise ValueError("it is not a URL") from error
    unix = parts.scheme == "unix"
    if not _known(parts.scheme) or not (parts.path if unix else named) or not url.isprintable():
        raise ValueError("it has another scheme, or names no server")
    if unix and parts.hostname:
        raise ValueError("a socket is an absolute path, so that three slashes follow unix:")
    kind = layout(url)
    if kind == "server" and "," in (parts.hostname or ""):
        raise ValueError("several servers are Sentinels or a cluster: write redis+sentinel or redis+cluster")
    pattern, wrong = _PATHS[kind]
    if not unix and not pattern.fullmatch(parts.path):
        raise ValueError(wrong)
    if parts.fragment:
        raise ValueError("it holds a #; write it as %23 in a password")
    _check_options(parts)


def _check_options(parts: SplitResult) -> None:
    found = options(parts)
    unknown = next((name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if name not in found), None)
    if unknown is not None or not _understood(parts.query, found):
        allowed = ", ".join(sorted(_allowed(parts)))
        raise ValueError(f"behind its ? it may hold {allowed}, each once and with a value, and nothing else")
    if (CERTIFICATE in found) != (KEY in found):
        raise ValueError(f"{CERTIFICATE} and {KEY} go together")


def options(parts: SplitResult) -> dict[str, str]:
    """Return the options of a URL that a server of its scheme may have."""
    return {name: value for name, value in parse_qsl(parts.query) if name in _allowed(parts)}


def _known(scheme: str) -> bool:
    base, plus, kind = scheme.partition("+")
    return scheme == "unix" or (base in {"redis", "rediss"} and (not plus or kind in {"sentinel", "cluster"}))


def _tls(parts: SplitResult) -> bool:
    return parts.scheme.partition("+")[0] == "rediss"


def _allowed(parts: SplitResult) -> frozenset[str]:
    if not _known(parts.scheme):
        return frozenset()
    return _OPTIONS[layout(parts.geturl())] | (_TLS if _tls(parts) else frozenset())


def _nodes(parts: SplitResult) -> list[tuple[str, int]]:
    kind = layout(parts.geturl())
    servers = parts.netloc.rpartition("@")[2]
    return [_node(node, _PORTS[kind]) for node in (servers.split(",") if kind != "server" else [servers])]


def _node(text: str, default: int) -> tuple[str, int]:
    """Return host and port. Raises ValueError for a port that is none."""
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or default


def _understood(query: str, found: dict[str, str]) -> bool:
    """Tell whether nothing of a query was lost on the way: repeated, empty, or not of the form NAME=VALUE."""
    fields = query.split("&") if query else []
    return len(fields) == len(found) and (_DATABASE.fullmatch(found.get("db", "0")) is not None)
