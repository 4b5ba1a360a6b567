"""The page on a terminal: one frame, as wide as there is room. What a colour says, a word or a sign says too."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rich.text import Text

from hotbandd.core import words
from hotbandd.core.candles import DAY_MS
from hotbandd.core.explanation import Figure
from hotbandd.core.page_documents import Allocation, Day, Gates, Page, Row, Sessions

WIDE: Final = 190  # columns from which on an instrument takes one line; below, two
ROOMY: Final = 100  # columns from which on sessions tell how long they still take
BAR: Final = 10
SPARK: Final = 12
_STEPS: Final = " ▁▂▃▄▅▆▇█"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_SIGNS: Final = {"passes": ("✓", "green"), "dead band": ("~", "yellow"), "fails": ("✗", "red")}
_LABEL: Final = 12
_GATE, _CALMAR, _PNL, _COUNTED, _BUFFER = 8, 14, 15, 12, 7  # widths of columns
_TROUBLES: Final = 3  # lines of them


class Shown(NamedTuple):
    """One frame: its lines, and how many instruments there was room for."""

    lines: list[Text]
    instruments: int


def frame(page: Page, width: int, *, seen_at: int | None = None, rows: int | None = None, offset: int = 0) -> Shown:
    """Return a frame of a width; ``rows``: lines that there is room for, None: as many as it takes.

    ``seen_at``: the moment of the last look that went well, where that is not this one; ``offset``: the first instrument shown.
    """
    head = [*_head(page, width, seen_at), Text()]
    wide = width >= WIDE
    if wide:
        head.append(_headings(page, width))
    names = list(page.instruments)[offset:]
    if rows is not None:
        names = names[: max(1, (rows - len(head)) // (1 if wide else 2))]
    body = [line for name in names for line in _instrument(name, page, width, wide=wide)]
    lines = [*head, *body]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Shown(lines if rows is None else lines[:rows], len(names))


def _head(page: Page, width: int, seen_at: int | None) -> list[Text]:
    fast = f" · {page.daemon.speed:g} x as fast" if page.daemon.speed != 1 else ""
    lines = [Text(f"hotband  {_stamp(page.now)} UTC{fast}", style="bold")]
    lines += _troubles(page, width, seen_at)
    switch = page.kill_switch
    engaged = Text(switch.words, style="green" if switch.engaged is False else "bold red")
    if switch.engaged is not False:
        head, _, rest = switch.words.partition(":")
        engaged = Text.assemble((head.upper(), "bold red reverse"), (f":{rest}", "bold red"))
    leader = "nobody leads" if page.daemon.holder is None else f"{page.daemon.holder} leads, epoch {page.daemon.epoch}"
    lines += _flow("kill switch", [engaged, Text(leader)], width)
    lines += _flow("gates", _gates(page.gates, page.now), width)
    lines += _flow("allocator", _allocator(page.allocation, page.now), width)
    lines += _flow("weights", _weights(page.allocation, page.now), width)
    return lines + _flow("sessions", _sessions(page.sessions, page.now, wide=width >= ROOMY), width)


def _troubles(page: Page, width: int, seen_at: int | None) -> list[Text]:
    troubles = list(page.daemon.troubles)
    if not page.daemon.store_up and seen_at is not None:
        troubles.insert(
            0, f"NOT LIVE: what follows is of {_clock(seen_at, page.now)}, {words.duration(page.now - seen_at)} ago."
        )
    shown = [line for told in troubles[:_TROUBLES] for line in _flow("!", [Text(told, style="bold red")], width)]
    more = len(troubles) - _TROUBLES
    return [*shown, *([Text(f"! and {more} more", style="bold red")] if more > 0 else [])]


def _gates(gates: Gates, now: int) -> list[Text]:
    following = Text(f"next in {words.countdown(gates.next_at - now)}")
    if gates.evaluated_ts is None:
        return [Text("none are published", style="bold red"), following]
    age = now - gates.evaluated_ts
    told = f"evaluated {words.duration(age)} ago"
    if age > gates.max_age_sec * 1000:
        return [Text(f"STALE, they count as unknown: {told}", style="bold red"), following]
    return [Text(f"{gates.open} of {gates.of} open"), Text(told), following]


def _allocator(allocation: Allocation, now: int) -> list[Text]:
    following = Text(f"next in {words.countdown(allocation.next_at - now)}")
    told = Text(allocation.words.rstrip("."), style="yellow" if allocation.held else "")
    if allocation.ts is None:
        return [Text(told.plain, style="bold red"), following]
    age = now - allocation.ts
    when = Text(f"{words.duration(age)} ago")
    if age > 2 * allocation.interval_sec * 1000:
        when = Text(f"STALE: {when.plain}", style="bold red")
    held = [Text(f"holding for {words.duration(now - allocation.held_since)}")] if allocation.held_since else []
    return [told, *held, when, following]


def _weights(allocation: Allocation, now: int) -> list[Text]:
    if allocation.weights_ts is None:
        return [Text("none are published")]
    bar = Text.assemble(_bar(allocation.total, allocation.target), f" {allocation.total:.3f} of {allocation.target:g}")
    return [bar, Text(f"at most {allocation.cap:g} each"), Text(f"of {_clock(allocation.weights_ts, now)}")]


def _sessions(sessions: Sessions, now: int, *, wide: bool) -> list[Text]:
    parts = [] if sessions.enabled else [Text("gates do not follow them")]
    if sessions.week and sessions.week[0][0] > now:
        parts.append(_until("FX week shut to", sessions.week[0][0], now, wide=wide))
    for session in sessions.sessions:
        ahead = [(opens, closes) for opens, closes in session.openings if closes > now]
        if ahead and ahead[0][0] <= now:
            parts.append(_until(f"{session.name} open to", ahead[0][1], now, wide=wide))
        elif ahead:
            parts.append(_until(f"{session.name} shut to", ahead[0][0], now, wide=wide))
    return parts


def _until(told: str, moment: int, now: int, *, wide: bool) -> Text:
    left = f" (in {words.duration(moment - now)})" if wide else ""
    return Text(f"{told} {_clock(moment, now)}{left}")


def _flow(label: str, parts: Iterable[Text], width: int) -> list[Text]:
    """Lay parts out behind a label, on as many lines as they take; a part is cut only where it is longer than a line."""
    lines = [Text(f"{label:<{_LABEL}}", style="dim")]
    empty = True
    for part in parts:
        for piece in _pieces(part, max(20, width - _LABEL)):
            if not empty and lines[-1].cell_len + 3 + piece.cell_len > width:
                lines.append(Text(" " * _LABEL))
                empty = True
            lines[-1] = Text.assemble(lines[-1], "" if empty else " · ", piece)
            empty = False
    return lines


def _pieces(part: Text, room: int) -> list[Text]:
    if part.cell_len <= room:
        return [part]
    return [Text(line, style=part.style) for line in textwrap.wrap(part.plain, room)]


def _headings(page: Page, width: int) -> Text:
    spark = _spark_width(page, width)
    metrics = "".join(f"{name:<{spark + 6}}" for name in "CSHR")
    figures = f"{'calmar/floor':<{_CALMAR}}{'pnl/floor':<{_PNL}}{'in a row':<{_COUNTED}}{'buffer':<{_BUFFER}}"
    return Text(
        f"{'instrument':<{_name_width(page)}}{'gate':<{_GATE}}{metrics}{figures}{'weight':<{BAR + 7}}why", style="bold"
    )


def _name_width(page: Page) -> int:
    return max([11, *(len(name) + 1 for name in page.instruments)])


def _instrument(name: str, page: Page, width: int, *, wide: bool) -> list[Text]:
    row, spark = page.instruments[name], _spark_width(page, width)
    weight = page.allocation.weights.get(name, 0.0)
    bar = Text.assemble(_bar(weight, page.allocation.cap), f" {weight:.3f} " if weight else "     - ")
    left = (_pad(Text(name, style="bold"), _name_width(page)), _pad(_gate(row, page), _GATE))
    metrics = _metrics(row, page.days.get(name), page, spark, wide=wide)
    calmar, pnl = _figure(row, "calmar, 30 days", ".2f"), _figure(row, "pnl, 30 days", "+.1%")
    counted, why = Text(_counted(row)), Text(", ".join(_why(row, page.now)))
    buffer = Text("" if row.buffer is None else f"{row.buffer:g}")
    if wide:
        middle = (_pad(calmar, _CALMAR), _pad(pnl, _PNL), _pad(counted, _COUNTED), _pad(buffer, _BUFFER))
        return [Text.assemble(*left, metrics, *middle, bar, why)]
    told = (why, counted, _labelled("calmar", calmar), _labelled("pnl", pnl), _labelled("buf", buffer))
    return [
        Text.assemble(*left, metrics, bar),
        Text.assemble("  ", Text("  ").join(part for part in told if part.plain)),
    ]


def _spark_width(page: Page, width: int) -> int:
    """Return how wide a day is drawn: what is left beside name, gate, values and weight, at most SPARK."""
    if width >= WIDE:
        return SPARK
    return min(SPARK, max(4, (width - _name_width(page) - _GATE - BAR - 7) // 4 - 6))


def _gate(row: Row, page: Page) -> Text:
    if row.gate is None:
        return Text("unknown", style="dim")
    if page.now - (page.gates.evaluated_ts or 0) > page.gates.max_age_sec * 1000:
        return Text("STALE", style="bold red")
    return Text("open", style="bold green") if row.gate else Text("shut", style="red")


def _metrics(row: Row, day: Day | None, page: Page, spark: int, *, wide: bool) -> Text:
    """Return C, S, H and R with their last day, oldest first."""
    measured = row.measured
    if measured is None:
        return Text(f"{'no fresh metrics':<{4 * (spark + 6)}}", style="dim")
    stale = page.now - measured.ts > page.stale_after_ms
    cells = []
    for name in "CSHR":
        column: Sequence[int | None] = getattr(day, name) if day is not None else ()
        label = "" if wide else name
        value = Text(f"{label}{getattr(measured, name):.2f}", style="dim" if stale else "")
        cells.append(_pad(Text.assemble(value, _spark(column, spark)), spark + 6))
    return Text.assemble(*cells)


def _why(row: Row, now: int) -> list[str]:
    parts = [reason.brief for reason in row.reasons]
    if row.cooldown_until is not None and row.cooldown_until > now:
        parts = [part for part in parts if part != words.gate("cooldown", brief=True)]
        parts.insert(0, f"cools down {words.countdown(row.cooldown_until - now)} more")
    if row.held_closed:
        parts.append("keeps its weight while the allocator holds")
    return parts


def _counted(row: Row) -> str:
    """Return how far the gate is from flipping."""
    if row.evaluated_ts is None:
        return ""
    if row.eligible:
        return f"{row.fails}/{row.required} fails"
    return f"{row.passes}/{row.required} passes"


def _figure(row: Row, name: str, form: str) -> Text:
    found: Figure | None = next((figure for figure in row.figures if figure.name == name), None)
    if found is None:
        return Text("")
    sign, style = _SIGNS[found.stands]
    return Text.assemble((sign, style), f" {found.value:{form}}/{found.floor:{form.lstrip('+')}}")


def _labelled(label: str, figure: Text) -> Text:
    return Text.assemble(f"{label} ", figure) if figure.plain else figure


def _bar(value: float, full: float, width: int = BAR) -> Text:
    """Return a bar as long as a value is of what it may be."""
    eighths = round(min(1.0, value / full) * width * 8) if full > 0 else 0
    filled = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return Text.assemble((filled, "cyan"), ("·" * (width - len(filled)), "dim"))


def _spark(percents: Sequence[int | None], width: int) -> Text:
    """Return a day as so many columns, each the mean of its stretch; blank where nothing was measured."""
    drawn = []
    for at in range(width):
        stretch = percents[at * len(percents) // width : (at + 1) * len(percents) // width]
        known = [percent for percent in stretch if percent is not None]
        drawn.append(_STEPS[1 + min(7, int(sum(known) / len(known) * 8 / 100))] if known else " ")
    return Text("".join(drawn), style="blue")


def _pad(text: Text, width: int) -> Text:
    padded = text.copy()
    padded.truncate(width - 1, overflow="ellipsis")
    padded.pad_right(width - padded.cell_len)
    return padded


def _stamp(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _clock(moment: int, now: int) -> str:
    """Return a moment as people say it: the time, with the day where that is not today."""
    at, today = (datetime.fromtimestamp(one / 1000, UTC) for one in (moment, now))
    if at.date() == today.date():
        return at.strftime("%H:%M:%S" if moment < now else "%H:%M")
    return at.strftime("%a %H:%M" if abs(moment - now) < 6 * DAY_MS else "%Y-%m-%d %H:%M")
