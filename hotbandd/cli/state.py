"""``hotbandd status`` and ``kill``: what Valkey holds, whoever runs the daemon."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer

from hotbandd.cli import common, tables
from hotbandd.errors import UnhealthyError
from hotbandd.ports import Store


def status(env_file: Path | None, *, as_json: bool) -> None:
    """Show gates, weights and who leads; raise UnhealthyError where something is missing or old."""
    settings = common.settings(env_file, level="warning")

    async def read() -> tables.Picture:
        async with common.store(settings) as store:
            return await tables.picture(store, settings.pairs, await daemon_now(store))

    seen = common.run(read)
    faults = tables.faults(seen, settings.gates_blob_max_age_sec)
    if as_json:
        leader = seen.leader._asdict() if seen.leader else None
        shown = {**msgspec.to_builtins(seen._asdict()), "leader": leader}
        common.print_json({**shown, "healthy": not faults, "faults": faults})
    else:
        console = common.console()
        console.print(tables.headline(seen))
        console.print(tables.gates_table(seen))
    if faults:
        raise UnhealthyError(" ".join(faults))


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
