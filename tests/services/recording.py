"""A telemetry that remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable


class RecordingTelemetry:
    def __init__(self) -> None:
        self.log: list[tuple[str, tuple, dict]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: self.log.append((name, args, kwargs))

    def calls(self, name: str) -> list[tuple]:
        return [args + tuple(kwargs.values()) for called, args, kwargs in self.log if called == name]
