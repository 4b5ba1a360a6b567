"""How operations tell how far they are."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Hears of long work: a bar on a terminal, a log line elsewhere."""

    def begin(self, step: str, total: int) -> None:
        """Hear that a step of so many parts begins."""
        ...

    def advance(self, parts: int = 1) -> None:
        """Hear that parts of the step are done."""
        ...

    def end(self, said: str) -> None:
        """Hear what became of the step."""
        ...


class Silent:
    """Shows nothing."""

    def begin(self, step: str, total: int) -> None:
        """Show nothing."""

    def advance(self, parts: int = 1) -> None:
        """Show nothing."""

    def end(self, said: str) -> None:
        """Show nothing."""
