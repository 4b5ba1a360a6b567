"""Memory that was freed, given back to the system.

glibc keeps what is freed, for later; where that lies between things that stay, a daemon that packed its history would hold several times what
it uses. Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
from typing import Final

_LARGE_BYTES: Final = 128 * 1024
_M_MMAP_THRESHOLD: Final = -3


def keep_large_apart() -> None:
    """Have each large array in pages of its own, which go with it: from the size on that glibc begins with, but does not stay at."""
    _told("mallopt", _M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Give back what is free, wherever it lies."""
    _told("malloc_trim", 0)


def _told(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
