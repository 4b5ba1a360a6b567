"""Candles: columns of one-minute prices, and the rules that a candle must meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

MINUTE_MS = 60_000
DAY_MS = 86_400_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Candle(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One candle as it is stored (``md:candles:{inst}:{gran}``)."""

    t: Annotated[int, Meta(description="Open time, UTC epoch, ms; the member's score.")]
    o: Annotated[float, Meta(description="Open, a price.")]
    h: Annotated[float, Meta(description="High, a price.")]
    l: Annotated[float, Meta(description="Low, a price.")]  # noqa: E741  the name is part of the contract
    c: Annotated[float, Meta(description="Close, a price.")]
    v: Annotated[float, Meta(description="Volume, ticks.")]
    bid: Annotated[float | None, Meta(description="Closing bid, a price; missing: not known.")] = None
    ask: Annotated[float | None, Meta(description="Closing ask, a price; missing: not known.")] = None


class Candles(NamedTuple):
    """Candles of one instrument as columns of equal length n.

    ``t`` int64 open times, UTC epoch ms, strictly ascending; ``open``, ``high``, ``low``, ``close`` prices and ``volume``
    ticks, float64; ``bid``, ``ask`` closes, NaN where unknown. A candle is known at its close, ``t + 60 000``.
    """

    t: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    bid: Floats
    ask: Floats

    @property
    def size(self) -> int:
        """Number of candles."""
        return len(self.t)

    def take(self, index: slice | Mask | Ints) -> Candles:
        """Return the candles at an index."""
        return of_any(column[index] for column in self)

    def between(self, start_ms: int, end_ms: int) -> Candles:
        """Return the candles that open in [start, end)."""
        first, last = np.searchsorted(self.t, (start_ms, end_ms))
        return self.take(slice(int(first), int(last)))

    def closed_by(self, at_ms: int) -> Candles:
        """Return the candles whose close is at or before a moment."""
        return self.take(slice(0, int(np.searchsorted(self.t, at_ms - MINUTE_MS, side="right"))))

    def rows(self) -> Iterable[Candle]:
        """Iterate over the candles as rows."""
        columns = (column.tolist() for column in self)
        for t, o, h, low, c, v, bid, ask in zip(*columns, strict=True):
            yield Candle(t, o, h, low, c, v, _known(bid), _known(ask))


_VOLUME = Candles._fields.index("volume")  # behind it stand the quotes, which may be unknown


def _known(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124  NaN, without a call per row


def empty() -> Candles:
    """Return no candles."""
    return of_columns(np.empty(0, np.int64), *(np.empty(0) for _ in range(5)))


def of_any(columns: Iterable[Any]) -> Candles:
    """Build candles from their eight columns in order."""
    return Candles(*columns)


def of_columns(
    t: Ints,
    o: Floats,
    h: Floats,
    low: Floats,
    c: Floats,
    v: Floats,
    bid: Floats | None = None,
    ask: Floats | None = None,
) -> Candles:
    """Build candles from columns; without quotes, bid and ask are unknown."""
    unknown = np.full(len(t), np.nan)
    return Candles(t, o, h, low, c, v, unknown if bid is None else bid, unknown if ask is None else ask)


def of_rows(rows: Iterable[Candle]) -> Candles:
    """Build candles from rows, in the order given."""
    listed = list(rows)
    nan = float("nan")
    table = np.array(
        [(r.o, r.h, r.l, r.c, r.v, nan if r.bid is None else r.bid, nan if r.ask is None else r.ask) for r in listed],
        dtype=np.float64,
    ).reshape(len(listed), 7)
    return Candles(np.array([r.t for r in listed], dtype=np.int64), *(np.ascontiguousarray(c) for c in table.T))


def concatenate(parts: Iterable[Candles]) -> Candles:
    """Join candles end to end, in the order given."""
    listed = list(parts)
    return of_any(np.concatenate(columns) for columns in zip(*listed, strict=True)) if listed else empty()


def merge(old: Candles, new: Candles) -> Candles:
    """Merge two ascending sets of candles by minute; where both have one, the newer set's stands."""
    if not old.size or not new.size:
        return new if new.size else old
    if new.t[0] > old.t[-1]:
        return concatenate((old, new))
    if new.t[-1] < old.t[0]:
        return concatenate((new, old))
    first, last = np.searchsorted(old.t, (new.t[0], new.t[-1] + 1)).tolist()
    between = old.take(slice(first, last))
    middle = concatenate((between.take(~np.isin(between.t, new.t)), new))
    middle = middle.take(np.argsort(middle.t, kind="stable"))
    return concatenate((old.take(slice(0, first)), middle, old.take(slice(last, None))))


def changes(old: Candles, new: Candles) -> Candles:
    """Return those of the new candles that the old ones do not hold, or hold otherwise; both are ascending."""
    if not old.size or not new.size or new.t[0] > old.t[-1] or new.t[-1] < old.t[0]:
        return new
    first, known = int(np.searchsorted(old.t, new.t[0])), int(np.searchsorted(new.t, old.t[-1], side="right"))
    if old.size - first == known and _equal(old.take(slice(first, None)), new.take(slice(0, known))):
        return new.take(slice(known, None))
    at = np.minimum(np.searchsorted(old.t, new.t), old.size - 1)
    same = np.ones(new.size, dtype=np.bool_)
    for ours, theirs in zip(old, new, strict=True):
        there = ours[at]
        same &= (there == theirs) | ((there != there) & (theirs != theirs))  # noqa: PLR0124  NaN equals NaN here
    return new.take(~same)


def _equal(ours: Candles, theirs: Candles) -> bool:
    return all(np.array_equal(a, b, equal_nan=i > _VOLUME) for i, (a, b) in enumerate(zip(ours, theirs, strict=True)))


class Checked(NamedTuple):
    """Candles that meet the rules, and how many did not, by reason."""

    candles: Candles
    refused: Mapping[str, int]


def check(candles: Candles, *, now_ms: int | None = None) -> Checked:
    """Keep the candles that can be true, sorted by minute, and count the others by reason.

    Reasons: ``off_grid`` (not on a whole minute), ``not_finite``, ``not_positive`` (a price), ``negative_volume``,
    ``high_below_low`` (or an open or close outside of them), ``crossed_quote`` (bid above ask), ``future`` (closes after ``now_ms``), ``duplicate``
    (the minute comes again: the last one stands).
    """
    if _flawless(candles, now_ms):
        return Checked(candles, {})
    bad: dict[str, Any] = {
        "off_grid": candles.t % MINUTE_MS != 0,
        "not_finite": np.logical_not(np.isfinite(np.stack(candles[1:6])).all(axis=0)),
        "not_positive": np.less_equal(np.stack(candles[1:5]), 0).any(axis=0),
        "negative_volume": candles.volume < 0,
        "high_below_low": _outside(candles),
        "crossed_quote": candles.bid > candles.ask,
    }
    if now_ms is not None:
        bad["future"] = candles.t > now_ms - MINUTE_MS
    refused: Counter[str] = Counter()
    good = np.ones(candles.size, dtype=np.bool_)
    for reason, mask in bad.items():
        refused[reason] += int(np.count_nonzero(mask & good))
        good &= ~mask
    kept = candles.take(good)
    if kept.size > 1 and (np.diff(kept.t) <= 0).any():
        _, last = np.unique(kept.t[::-1], return_index=True)
        refused["duplicate"] += kept.size - len(last)
        kept = kept.take(kept.size - 1 - last)
    return Checked(kept, {reason: count for reason, count in refused.items() if count})


def _flawless(candles: Candles, now_ms: int | None) -> bool:
    """Tell whether nothing is to be refused, as is the rule, for the price of a few comparisons; NaN fails each of them."""
    t, o, h, low, c, volume, bid, ask = candles
    inside = (
        (low > 0) & (low <= o) & (low <= c) & (h >= o) & (h >= c) & (h < np.inf) & (volume >= 0) & (volume < np.inf)
    )
    known = now_ms is None or not len(t) or int(t[-1]) <= now_ms - MINUTE_MS
    good = known and inside.all() and not (t % MINUTE_MS).any() and (t[1:] > t[:-1]).all()
    return bool(good and not (bid > ask).any())


def _outside(candles: Candles) -> Mask:
    body_high = np.maximum(candles.open, candles.close)
    body_low = np.minimum(candles.open, candles.close)
    outside: Mask = (candles.high < body_high) | (candles.low > body_low) | (candles.high < candles.low)
    return outside
