"""URLs that name several servers, which Python takes apart in some of its versions only."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

_SERVERS: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9.-]*\+[A-Za-z]+)://(?P<servers>[^/?#]*)(?P<rest>.*)", re.DOTALL
)


def split(url: str) -> SplitResult:
    """Take a URL apart. Raises ValueError where it is none.

    Several servers stay together, for the caller to take apart: some releases of Python refuse an IPv6 address among them.
    """
    found = _SERVERS.fullmatch(url)
    if found is None:
        return urlsplit(url)
    return urlsplit(f"{found['scheme']}://{found['rest']}")._replace(netloc=found["servers"])
