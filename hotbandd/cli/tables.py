"""What gates and weights look like on a terminal; the table of ``demo``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from rich.table import Table

from hotbandd.core import words
from hotbandd.core.documents import AllocatorStatus, GatesBlob, GateState, Manifold, RollingSummary, Weights
from hotbandd.ports import Lease, Store


class Picture(NamedTuple):
    """Everything that is published, at one moment of the clock."""

    now: int
    leader: Lease | None
    kill_switch: bool | None
    blob: GatesBlob | None
    weights: Weights | None
    status: AllocatorStatus | None
    manifolds: Mapping[str, Manifold | None]
    summaries: Mapping[str, RollingSummary | None]
    states: Mapping[str, GateState | None]


async def picture(store: Store, pairs: tuple[str, ...], now: int) -> Picture:
    """Read what is published. Raises CorruptPayloadError, StoreUnreachableError."""
    return Picture(
        now=now,
        leader=await store.leader(),
        kill_switch=await store.kill_switch(),
        blob=await store.gates_blob(),
        weights=await store.weights(),
        status=await store.allocator_status(),
        manifolds={pair: await store.manifold(pair) for pair in pairs},
        summaries={pair: await store.summary(pair) for pair in pairs},
        states={pair: await store.gate_state(pair) for pair in pairs},
    )


def gates_table(seen: Picture, regimes: Mapping[str, str] | None = None) -> Table:
    """Return one row per instrument: its metrics, its back-test, its gate with reasons, its weight."""
    table = Table(box=None, header_style="bold", padding=(0, 1))
    words = ["instrument", *(["market"] if regimes is not None else [])]
    figures = ["C", "S", "H", "R", "trades", "pnl", "calmar"]
    for name in (*words, *figures, "gate", "weight", "why"):
        table.add_column(
            name, justify="right" if name in figures or name == "weight" else "left", no_wrap=name != "why"
        )
    for pair in seen.manifolds:
        market = [regimes.get(pair, "")] if regimes is not None else []
        table.add_row(
            pair, *market, *_measured(seen.manifolds[pair]), *_tested(seen.summaries[pair]), *_decided(pair, seen)
        )
    return table


def headline(seen: Picture) -> str:
    """Return what is true of all instruments, in one line."""
    kill = {True: "[red]engaged[/red]", False: "released", None: "[red]missing (counts as engaged)[/red]"}
    parts = [
        f"kill switch {kill[seen.kill_switch]}",
        f"leader {seen.leader.holder if seen.leader else '[red]none[/red]'}",
    ]
    if seen.blob is not None:
        parts.append(f"gates of {clock_text(seen.blob.ts)}, {sum(seen.blob.gates.values())} open")
    if seen.weights is not None:
        parts.append(f"weights of {clock_text(seen.weights.ts)}, {sum(seen.weights.weights.values()):.3f} of the book")
    if seen.status is not None:
        parts.append(f"allocator: {words.allocated(seen.status.reason)}{', holding' if seen.status.held else ''}")
    return " · ".join(parts)


def clock_text(moment: int) -> str:
    """Return a moment for people."""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _measured(document: Manifold | None) -> tuple[str, ...]:
    if document is None:
        return ("-",) * 4
    metrics = document.metrics
    return tuple(f"{value:.2f}" for value in (metrics.coherence, metrics.stability, metrics.entropy, metrics.rupture))


def _tested(summary: RollingSummary | None) -> tuple[str, ...]:
    span = summary.summary.get("30") if summary is not None else None
    return ("-",) * 3 if span is None else (str(span.trades), f"{span.pnl_total:+.2%}", f"{span.calmar:.2f}")


def _decided(pair: str, seen: Picture) -> tuple[str, ...]:
    weight = seen.weights.weights.get(pair, 0.0) if seen.weights is not None else 0.0
    shown = f"[bold]{weight:.3f}[/bold]" if weight else "-"
    if seen.blob is None or pair not in seen.blob.gates:
        return ("-", shown, "")
    if seen.blob.gates[pair]:
        return ("[green]open[/green]", shown, "")
    return ("[red]shut[/red]", shown, ", ".join(words.gate(code, brief=True) for code in seen.blob.reasons[pair]))
