"""``hotbandd status`` and ``kill``: what Valkey holds, whoever runs the daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from rich.console import Group

from hotbandd.cli import common
from hotbandd.cli.frame import frame
from hotbandd.cli.looking import Looker
from hotbandd.core.page_documents import Page
from hotbandd.errors import StoreUnreachableError, UnhealthyError
from hotbandd.ports import Store


def status(env_file: Path | None, *, as_json: bool) -> None:
    """Show gates, weights and who leads; raise UnhealthyError where something is missing or old."""
    settings = common.settings(env_file, level="warning")

    async def look() -> tuple[Looker, Page]:
        async with common.store(settings) as store:
            looker = Looker(store, settings)
            page = await looker.look(days=0 if as_json else sys.maxsize)
        if looker.fault is not None:
            raise StoreUnreachableError(looker.fault)
        return looker, page

    looker, page = common.run(look)
    troubles = page.daemon.troubles
    if as_json:
        common.print_json({**looker.documents(), "healthy": not troubles, "faults": troubles})
    else:
        console = common.console()
        console.print(Group(*frame(page, console.width).lines))
    if troubles:
        raise UnhealthyError(" ".join(troubles))


def kill_status(env_file: Path | None, *, as_json: bool) -> None:
    """Show the kill switch."""
    engaged = _kill(env_file, None)
    if as_json:
        common.print_json({"kill_switch": engaged})
    else:
        typer.echo("engaged" if engaged else "released")


def kill_set(env_file: Path | None, *, engaged: bool) -> None:
    """Engage or release the kill switch, and say what it is now."""
    now = _kill(env_file, engaged)
    typer.echo("The kill switch is engaged: no weight rises." if now else "The kill switch is released.")


def _kill(env_file: Path | None, engaged: bool | None) -> bool:
    settings = common.settings(env_file, level="warning")

    async def act() -> bool:
        async with common.store(settings) as store:
            if engaged is not None:
                await store.set_kill_switch(engaged=engaged)
            return await store.kill_switch() is not False

    return common.run(act)


async def daemon_now(store: Store) -> int:
    """Return the moment by the daemon's clock, which need not be the real one."""
    wall = common.wall_ms()
    anchor = await store.clock()
    return wall if anchor is None else anchor.anchor_virtual + int((wall - anchor.anchor_wall) * anchor.speed)
