"""Long work on a terminal: a bar; elsewhere: one log line per step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.progress
import structlog
from rich.console import Console

from hotbandd.cli import common
from hotbandd.operations.progress import Progress

log = structlog.get_logger()


class _Bar:
    """Shows each step as a bar, and what became of it as a line."""

    def __init__(self, shown: rich.progress.Progress) -> None:
        self._shown = shown
        self._task: rich.progress.TaskID | None = None
        self._step, self._began = "", 0.0

    def begin(self, step: str, total: int) -> None:
        """Show a new bar."""
        self._step, self._began = step, time.monotonic()
        self._task = self._shown.add_task(step, total=total)

    def advance(self, parts: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._shown.advance(self._task, parts)

    def end(self, said: str) -> None:
        """Replace the bar by a line."""
        if self._task is not None:
            self._shown.remove_task(self._task)
            self._task = None
        self._shown.console.print(f"{self._step}: {said} ({time.monotonic() - self._began:.1f} s)", highlight=False)


class _Lines:
    """Logs the end of each step."""

    def __init__(self) -> None:
        self._step, self._began = "", 0.0

    def begin(self, step: str, total: int) -> None:
        """Remember the step."""
        self._step, self._began = step, time.monotonic()

    def advance(self, parts: int = 1) -> None:
        """Say nothing."""

    def end(self, said: str) -> None:
        """Log the step."""
        log.info(f"{self._step}.done", said=said, seconds=round(time.monotonic() - self._began, 3))


@contextmanager
def shown() -> Iterator[Progress]:
    """Yield what shows progress on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as bars:
        yield _Bar(bars)


@contextmanager
def moments(name: str, first: int, last: int) -> Iterator[Callable[[int], None]]:
    """Show a clock that runs between two moments, UTC epoch ms, as a bar on a terminal, and nothing elsewhere; yield what moves it."""
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with rich.progress.Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=last - first)
        yield lambda moment: bar.update(task, completed=moment - first, description=common.moment_text(moment))
