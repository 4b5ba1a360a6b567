"""``hotbandd watch``: what the page shows, on a terminal and live, over Valkey alone."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
from msgspec.structs import replace
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hotbandd.cli import common
from hotbandd.cli.frame import Shown, frame
from hotbandd.cli.looking import Looker
from hotbandd.core import page as pages
from hotbandd.core.page_documents import Page

LOOK_SEC: Final = 1.0
DRAW_SEC: Final = 0.5
_MOVES: Final[Mapping[str, tuple[str, ...]]] = {
    "quit": ("q", "Q", "\x03", "\x04"),
    "down": ("j", "\x1b[B", "\x1bOB"),
    "up": ("k", "\x1b[A", "\x1bOA"),
    "page down": (" ", "\x1b[6~"),
    "page up": ("b", "\x1b[5~"),
    "home": ("g", "\x1b[H", "\x1bOH", "\x1b[1~"),
    "end": ("G", "\x1b[F", "\x1bOF", "\x1b[4~"),
}
_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Za-z]|.", re.DOTALL)
KEYS: Final = {word: move for move, typed in _MOVES.items() for word in typed}


def watch(env_file: Path | None, *, once: bool, as_json: bool) -> None:
    """Watch until q or Ctrl-C; one frame where the output is no terminal, or with ``once``; one line per change as JSON."""
    settings = common.settings(env_file, level="error")
    console = common.console()

    async def main() -> None:
        async with common.store(settings) as store:
            await store.ping()  # a wrong address is told at once; an outage later on is waited for
            looker = Looker(store, settings)
            if as_json:
                await _print_changes(looker, once=once)
            elif once or not console.is_terminal:
                page = await looker.look(days=len(settings.pairs))
                console.print(Group(*frame(page, console.width).lines), soft_wrap=True)
            else:
                await _Screen(looker, console).run()

    common.run(main)


async def _print_changes(looker: Looker, *, once: bool) -> None:
    """Print the page, then what changes in it, a line of JSON each."""
    old: Page | None = None
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_at, received, group.cancel_scope)
            while True:
                new = await looker.look(days=sys.maxsize if old is None else 8)
                line = new if old is None else pages.change(old, new)
                if line is not None:
                    common.print_json(line)
                    sys.stdout.flush()
                    old = new
                if once:
                    group.cancel_scope.cancel()
                await anyio.sleep(LOOK_SEC)


async def _cancel_at(received: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in received:
        scope.cancel()
        return


class _Screen:
    """The whole terminal: what was seen last, drawn twice a second and at every key, until q."""

    def __init__(self, looker: Looker, console: Console) -> None:
        self._looker = looker
        self._console = console
        self._page: Page | None = None
        self._offset = 0
        self._shown = Shown([], 1)
        self._redraw = anyio.Event()

    async def run(self) -> None:
        """Show until q, Ctrl-C or SIGTERM; the terminal is as before afterwards."""
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH)
        with anyio.open_signal_receiver(*signals) as received, _keys() as keyboard:
            async with anyio.create_task_group() as group:
                with Live(console=self._console, screen=True, auto_refresh=False, transient=True) as live:
                    group.start_soon(self._look)
                    group.start_soon(self._signals, received, group.cancel_scope)
                    if keyboard is not None:
                        group.start_soon(self._type, keyboard, group.cancel_scope)
                    await self._draw(live)

    async def _look(self) -> None:
        while True:
            self._page = await self._looker.look()
            self._redraw.set()
            await anyio.sleep(LOOK_SEC)

    async def _signals(self, received: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        async for number in received:
            if number != signal.SIGWINCH:
                scope.cancel()
                return
            self._redraw.set()

    async def _type(self, keyboard: int, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.wait_readable(keyboard)
            typed = os.read(keyboard, 64).decode(errors="replace")
            moves = [KEYS.get(key) for key in _KEY.findall(typed)]
            if not typed or "quit" in moves:
                scope.cancel()
                return
            for move in moves:
                self._move(move)
            self._redraw.set()

    def _move(self, move: str | None) -> None:
        room, last = self._shown.instruments, len(self._page.instruments) if self._page else 0
        steps = {"down": 1, "up": -1, "page down": room, "page up": -room, "home": -last, "end": last}
        self._offset = max(0, min(self._offset + steps.get(move or "", 0), last - room))

    async def _draw(self, live: Live) -> None:
        while True:
            live.update(self._frame(), refresh=True)
            self._redraw = anyio.Event()
            with anyio.move_on_after(DRAW_SEC):
                await self._redraw.wait()

    def _frame(self) -> Group:
        page = self._page
        if page is None:
            return Group(Text("Looking at Valkey …"))
        width, height = self._console.size
        page = replace(page, now=self._looker.now())  # ages and countdowns go on between two looks
        self._move(None)
        self._shown = frame(page, width, seen_at=self._looker.seen_at, rows=height - 1, offset=self._offset)
        return Group(*self._shown.lines, *self._blank(height - 1 - len(self._shown.lines)), self._foot(page, width))

    def _blank(self, lines: int) -> list[Text]:
        return [Text()] * max(0, lines)

    def _foot(self, page: Page, width: int) -> Text:
        count, room = len(page.instruments), self._shown.instruments
        part = (
            ""
            if room >= count
            else f"{self._offset + 1} to {self._offset + room} of {count} instruments, ↑ ↓ PgUp PgDn move · "
        )
        foot = Text(f"{part}q ends", style="dim")
        foot.truncate(width, overflow="ellipsis")
        return foot


@contextmanager
def _keys() -> Iterator[int | None]:
    """Read keys one by one and unseen, where they come from a terminal; as it was afterwards.

    The event loop makes what it waits for non-blocking, and standard input shares that with standard output and with the shell: so
    the terminal is opened once more.
    """
    if not sys.stdin.isatty():
        yield None
        return
    keyboard = os.open(os.ttyname(sys.stdin.fileno()), os.O_RDONLY | os.O_NOCTTY)
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        os.close(keyboard)
