"""Parameters that were promoted, or set by hand."""

from __future__ import annotations

from typing import Protocol

from hotbandd.core.live_params import Overlays


class LiveParams(Protocol):
    """The parameters in force where they differ from the settings."""

    async def read(self) -> Overlays:
        """Return the parameters of each instrument as they are now. Raises InputError, which says what is wrong with them and where."""
        ...
