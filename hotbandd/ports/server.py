"""What the server behind the store says about itself."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class ServerFacts(NamedTuple):
    """Facts of a Valkey server; None where its rights keep them from us.

    ``latency_ms``: median of some round trips. ``refused``: what a test write answered, where it was refused. Of several servers the worst
    is told. ``layout``: what they are, empty for one server; ``replicas``: how many follow it, None for one server; ``broken``: why
    a cluster does not serve all there is.
    """

    version: str | None
    used_bytes: int | None
    limit_bytes: int | None  # 0: no limit
    eviction: str | None
    append_only: bool | None
    last_save_ok: bool | None
    latency_ms: float
    refused: str | None
    layout: str = ""
    replicas: int | None = None
    broken: str | None = None


class Server(Protocol):
    """The server behind the store."""

    async def facts(self) -> ServerFacts:
        """Ask the server. Raises StoreUnreachableError where it does not answer, RefusedError where it lets nobody in."""
        ...
