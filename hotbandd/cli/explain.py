"""``hotbandd explain``: why one gate reads as it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
from rich.table import Table

from hotbandd import parts
from hotbandd.adapters.replay import HeldSource, ReplaySource
from hotbandd.cli import common, progress, replaying
from hotbandd.cli.state import daemon_now
from hotbandd.core.candles import DAY_MS, MINUTE_MS
from hotbandd.core.explanation import AT_LEAST, Explanation, Figure, Guarded, Known, explain
from hotbandd.errors import UnhealthyError, UsageError
from hotbandd.ports import Store
from hotbandd.settings import Settings, instrument

LOOK_BACK_DAYS = 31  # of a replay: longer than the history that raises floors

_STYLES = {"passes": "green", "dead band": "yellow", "fails": "red"}


def explain_command(name: str, at: str | None, candles: Path | None, env_file: Path | None, *, as_json: bool) -> None:
    """Explain a gate: as it is, from what Valkey holds; as it was, from a replay of stored candles or of a folder's."""
    settings = common.settings(env_file, level="warning")
    pair = instrument(name)
    moment = None if at is None else common.moment(at, "--at")

    async def read() -> Explanation:
        if candles is not None:
            source = ReplaySource(candles)
            return await replayed(pair, source, await _of_folder(pair, candles, source, env_file), moment)
        async with common.store(settings) as store:
            if moment is None:
                return await published(settings, store, pair)
            page = await store.candles(pair, settings.candle_gran, 0, moment + MINUTE_MS)
        chosen = replace(settings, pairs=(pair,))
        return await replayed(pair, HeldSource({pair: page.candles}), chosen, moment)

    found = common.run(read)
    if found.gate is None and found.evaluated_ts is None and found.manifold_ts is None:
        raise UnhealthyError(
            f"Nothing is published about {pair}; add it to HOTBAND_PAIRS, and see that hotbandd run leads."
        )
    if as_json:
        common.print_json(found)
    else:
        _show(found)


async def published(settings: Settings, store: Store, pair: str) -> Explanation:
    """Read what is published about an instrument, and explain it."""
    known = Known(
        summary=await store.summary(pair),
        state=await store.gate_state(pair),
        blob=await store.gates_blob(),
        manifold=await store.manifold(pair),
        weights=await store.weights(),
        status=await store.allocator_status(),
    )
    return explain(pair, known, parts.rulebook(settings), parts.calendar(settings), await daemon_now(store))


async def replayed(pair: str, source: HeldSource, settings: Settings, moment: int | None) -> Explanation:
    """Replay an instrument alone up to a moment, its last candle's close where none is given, and explain what is known then.

    The replay begins LOOK_BACK_DAYS before, so that the floors have their history; weights need the other instruments, and are left out.
    """
    first, last = await source.bounds(pair)
    moment = last if moment is None else moment
    await replaying.covered(source, (pair,), moment - 1, moment + 1)
    begin = max(first, moment - LOOK_BACK_DAYS * DAY_MS)
    begin -= begin % (settings.eval_interval_sec * 1000)
    async with replaying.opened(source, settings, begin) as opened:
        with progress.moments("replay", begin, moment) as moved:
            await opened.run(moment + round(settings.decision_lag_sec * 1000), moved, allocating=False)
        manifold, bounds = opened.manifold(pair, moment)
        known = Known(
            summary=await opened.store.summary(pair),
            state=await opened.store.gate_state(pair),
            blob=await opened.store.gates_blob(),
            manifold=manifold,
            weights=None,
            status=None,
        )
    found = explain(pair, known, parts.rulebook(settings, bounds), parts.calendar(settings), moment)
    return msgspec.structs.replace(found, replayed_from=begin)


async def _of_folder(pair: str, candles: Path, source: ReplaySource, env_file: Path | None) -> Settings:
    settings = await replaying.settings_of(candles, source, env_file)
    if pair not in await source.instruments():
        raise UsageError(f"There are no candles of {pair} in {candles}; put a file {pair}_M1.csv there.")
    return replace(settings, pairs=(pair,))


def _show(one: Explanation) -> None:
    console = common.console()
    gate = {1: "[green]open[/]", 0: "[red]shut[/]", None: "unknown"}[one.gate]
    console.print(f"[bold]{one.instrument}[/]  gate {gate}  at {_time(one.now)}", highlight=False)
    for told in one.reasons:
        console.print(f"  {told.code}: {told.words}", highlight=False)
    for sentence in one.flip:
        console.print(f"→ {sentence}", highlight=False)
    facts = Table.grid("", "", padding=(0, 2))
    for name, value in _facts(one).items():
        facts.add_row(name, value)
    console.print(facts, highlight=False)
    if one.figures:
        console.print(_figures_table(one))
    if one.guards:
        console.print(_guards_table(one))


def _facts(one: Explanation) -> dict[str, str]:
    counted = f"{one.passes} passes, {one.fails} fails, {one.misses} misses; {one.required} in a row decide"
    facts = {
        "session": f"{'open' if one.session_open else 'closed'} until {_time(one.session_changes_at)}",
        "cooldown": "none" if one.cooldown_until is None else f"until {_time(one.cooldown_until)}",
        "counted": f"{counted}; the state is {'eligible' if one.eligible else 'not eligible'}",
        "evaluated": f"{_time(one.evaluated_ts)}  {one.param_key or ''}  {one.outcome or ''}",
    }
    if one.replayed_from is not None:
        return {**facts, "replayed": f"alone, from {_time(one.replayed_from)} on, with an empty state"}
    weight = "unknown" if one.weight is None else f"{one.weight:.4f}"
    return {**facts, "weight": weight if one.held is None else f"{weight}, the allocator holds ({one.held})"}


def _figures_table(one: Explanation) -> Table:
    names = ("figure", "value", "floor", "from", "passes from", "fails below", "margin", "stands")
    table = Table(*names, title=f"Last evaluation; buffer {one.buffer:g}")
    for figure in one.figures:
        table.add_row(*_figure_row(figure))
    return table


def _figure_row(figure: Figure) -> tuple[str, ...]:
    below = "" if figure.disable_at is None else f"{figure.disable_at:.4g}"
    return (
        figure.name,
        f"{figure.value:.4g}",
        f"{figure.floor:.4g}",
        figure.origin,
        f"{figure.enable_at:.4g}",
        below,
        f"{figure.margin:+.4g}",
        f"[{_STYLES[figure.stands]}]{figure.stands}[/]",
    )


def _guards_table(one: Explanation) -> Table:
    table = Table("guard", "value", "bound", "margin", "met", title=f"Newest manifold, {_time(one.manifold_ts)}")
    for guard in one.guards:
        table.add_row(*_guard_row(guard))
    return table


def _guard_row(guard: Guarded) -> tuple[str, ...]:
    bound = "" if guard.bound is None or guard.spec == f"{guard.bound:g}" else f" = {guard.bound:.3f}"
    margin = "unknown" if guard.margin is None else f"{guard.margin:+.3f}"
    sign = "≥" if guard.name in AT_LEAST else "≤"
    return guard.name, f"{guard.value:.3f}", f"{sign} {guard.spec}{bound}", margin, "yes" if guard.met else "no"


def _time(moment: int | None) -> str:
    return "never" if moment is None else f"{common.moment_text(moment)} UTC"
