"""Where messages for people go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Delivery(NamedTuple):
    """What became of a message at one receiver, named without its secrets; ``fault``: why it did not arrive."""

    receiver: str
    fault: str | None


class Notices(Protocol):
    """Receivers of messages for people, each on its own: one that is away or slow holds up no other."""

    async def send(self, title: str, body: str) -> Sequence[Delivery]:
        """Send a message to every receiver, once more or twice where it does not arrive; returns within a bounded time, and raises nothing."""
        ...
