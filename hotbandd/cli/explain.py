"""``hotbandd explain``: why one gate reads as it does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from hotbandd import parts
from hotbandd.cli import common
from hotbandd.cli.state import daemon_now
from hotbandd.core.explanation import Explanation, Known, explain
from hotbandd.core.manifold_documents import Bounds
from hotbandd.errors import UnhealthyError
from hotbandd.ports import Store
from hotbandd.settings import Settings, Threshold, instrument

_STYLES = {"passes": "green", "dead band": "yellow", "fails": "red"}


def explain_command(name: str, env_file: Path | None, *, as_json: bool) -> None:
    """Explain a gate from what Valkey holds."""
    settings = common.settings(env_file, level="warning")
    pair = instrument(name)

    async def read() -> Explanation:
        async with common.store(settings) as store:
            return await explanation(settings, store, pair)

    found = common.run(read)
    if found.gate is None and found.evaluated_ts is None and found.manifold_ts is None:
        raise UnhealthyError(
            f"Nothing is published about {pair}; add it to HOTBAND_PAIRS, and see that hotbandd run leads."
        )
    if as_json:
        common.print_json(found)
    else:
        _show(found)


async def explanation(settings: Settings, store: Store, pair: str) -> Explanation:
    """Read what is published about an instrument, and explain it."""
    known = Known(
        summary=await store.summary(pair),
        state=await store.gate_state(pair),
        blob=await store.gates_blob(),
        manifold=await store.manifold(pair),
        weights=await store.weights(),
        status=await store.allocator_status(),
    )
    rules = parts.evaluator(settings)
    calendar, now = parts.calendar(settings), await daemon_now(store)
    return explain(pair, known, rules.gate, rules.interval_sec, _bounds(settings), calendar, now)


def _bounds(settings: Settings) -> Bounds:
    bounds = parts.bounds(settings)
    specs = (bounds.c_min, bounds.s_min, bounds.h_max, bounds.r_max, bounds.hazard_max)
    return Bounds(*map(_number, specs))


def _number(spec: Threshold) -> float:
    """Return a bound; NaN for a percentile, which only the daemon knows as a number."""
    return float("nan") if isinstance(spec, str) else spec


def _show(one: Explanation) -> None:
    console = common.console()
    gate = {1: "[green]open[/]", 0: "[red]shut[/]", None: "unknown"}[one.gate]
    console.print(f"[bold]{one.instrument}[/]  gate {gate}  at {_time(one.now)}", highlight=False)
    for told in one.reasons:
        console.print(f"  {told.code}: {told.words}", highlight=False)
    for sentence in one.flip:
        console.print(f"→ {sentence}", highlight=False)
    session = (
        f"open until {_time(one.session_changes_at)}"
        if one.session_open
        else f"closed until {_time(one.session_changes_at)}"
    )
    cooldown = "none" if one.cooldown_until is None else f"until {_time(one.cooldown_until)}"
    counted = f"{one.passes} passes, {one.fails} fails, {one.misses} misses; {one.required} in a row decide"
    weight = "unknown" if one.weight is None else f"{one.weight:.4f}"
    facts = Table.grid("", "", padding=(0, 2))
    for name, value in (
        ("session", session),
        ("cooldown", cooldown),
        ("counted", counted),
        ("evaluated", f"{_time(one.evaluated_ts)}  {one.param_key or ''}  {one.outcome or ''}"),
        ("weight", weight if one.held is None else f"{weight}, the allocator holds ({one.held})"),
    ):
        facts.add_row(name, value)
    console.print(facts, highlight=False)
    if one.figures:
        console.print(_figures_table(one))
    if one.guards:
        console.print(_guards_table(one))


def _figures_table(one: Explanation) -> Table:
    origin = one.figures[0].origin
    table = Table(
        "figure",
        "value",
        "floor",
        "passes from",
        "fails below",
        "stands",
        title=f"Floors: {origin}; buffer {one.buffer:g}",
    )
    for figure in one.figures:
        below = "" if figure.disable_at == float("-inf") else f"{figure.disable_at:.4g}"
        stands = f"[{_STYLES[figure.stands]}]{figure.stands}[/]"
        table.add_row(
            figure.name, f"{figure.value:.4g}", f"{figure.floor:.4g}", f"{figure.enable_at:.4g}", below, stands
        )
    return table


def _guards_table(one: Explanation) -> Table:
    table = Table("guard", "value", "bound", "margin", "met", title=f"Newest manifold, {_time(one.manifold_ts)}")
    for guard in one.guards:
        least = guard.name in {"coherence", "stability"}
        margin = guard.value - guard.bound if least else guard.bound - guard.value
        sign = "≥" if least else "≤"
        table.add_row(
            guard.name, f"{guard.value:.3f}", f"{sign} {guard.bound:g}", f"{margin:+.3f}", "yes" if guard.met else "no"
        )
    return table


def _time(moment: int | None) -> str:
    return "never" if moment is None else datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
