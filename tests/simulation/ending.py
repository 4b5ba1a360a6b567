"""The calm end of a seed: all is published again, the candles are true, and what follows from them is what an undisturbed run shows."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from hotbandd.adapters.store.keys import CandlePlace
from hotbandd.core.packed_day import PackedDayError, unpack
from tests.simulation.belief import BLOB, CANDLES, HISTORY, STATE, STATUS, WEIGHTS, document
from tests.simulation.rules import DAY, FRESH_STATE, MINUTE, start_of

if TYPE_CHECKING:
    from tests.simulation.world import World

SUMMARY = "bt:rolling:summary:"
POINTS = 60  # of the newest metrics


def check_published(world: World, when: str) -> None:
    """Check that the last slots are published, and that the observer saw publications."""
    for kind in ("gates", "weights", "candles stored"):
        if not world.observer.counts[kind]:
            world.observer.fail(f"the observer saw nothing of {kind} {when}")
    held, now = world.server.inner._values, world.now() - MINUTE
    for key, interval in ((BLOB, world.settings.eval_interval_sec), (STATUS, world.settings.alloc_interval_sec)):
        found = document(held.get(key)) or {}
        slot = now - now % (interval * 1000)
        if found.get("evaluated_ts", found.get("ts", 0)) < slot:
            world.observer.fail(f"{key} is of {found.get('ts')} {when}, not of {slot}")
    if document(held.get(WEIGHTS), "weights") is None:
        world.observer.fail(f"there are no weights {when}")
    for pair in world.settings.pairs:
        if document(held.get(STATE + pair), *FRESH_STATE) is None:
            world.observer.fail(f"nobody knows how the gate of {pair} stands {when}")


def check_candles(world: World, pair: str) -> None:
    """Check that the store holds each candle once, as it truly was."""
    held = _held(world, pair)
    now, market = world.now(), world.market
    true = market.candles[pair].between(now - (world.kept_days - 1) * DAY, now).closed_by(now - 15 * MINUTE)
    wrong = [t for t in true.t.tolist() if held.get(t) != market.true(pair, t)]
    if wrong:
        some = [f"{datetime.fromtimestamp(t / 1000, UTC):%m-%d %H:%M}" for t in wrong[:: max(1, len(wrong) // 6)]]
        world.observer.fail(f"{len(wrong)} of {true.size} candles of {pair} are missing or not true: {some}")


def _held(world: World, pair: str) -> dict[int, tuple[float, ...] | None]:
    """Return what is stored of each minute: a packed day holds those that do not stand by themselves."""
    inner, place = world.server.inner, CandlePlace(pair, "M1")
    held: dict[int, tuple[float, ...] | None] = {}
    for day, packed in inner._hashes.get(place.packed, {}).items():
        with suppress(PackedDayError):
            columns = unpack(packed, start_of(day))
            held.update((row[0], row[1:]) for row in zip(*(column.tolist() for column in columns), strict=True))
    return held | {t: _row(raw) for t, raw in inner._sets[f"{CANDLES}{pair}:M1"]._members.items()}


def _row(raw: bytes | None) -> tuple[float, ...] | None:
    try:
        row = msgspec.json.decode(raw or b"")
        return row["o"], row["h"], row["l"], row["c"], row["v"], row["bid"], row["ask"]
    except (msgspec.DecodeError, TypeError, KeyError):
        return None


def shown(world: World) -> dict[str, Any]:
    """Return what stands in the store that follows from candles, settings and parameters alone; by what it is about."""
    held, sets = world.server.inner._values, world.server.inner._sets
    blob, found = document(held.get(BLOB), "guards") or {}, {}
    for pair in world.settings.pairs:
        summary = document(held.get(SUMMARY + pair), "summary") or {}
        found[f"back-test of {pair}"] = summary.get("ts"), summary.get("param_key"), summary.get("summary")
        found[f"guards of {pair}"] = blob.get("guards", {}).get(pair)
        newest = sets[HISTORY + pair].newest(POINTS) if HISTORY + pair in sets else []
        found[f"metrics of {pair}"] = [(score, document(member)) for member, score in newest]
        state = document(held.get(STATE + pair)) or {}
        open_state = bool(state.get("eligible")) and state.get("cooldown_until", 0) <= world.now()
        found[f"flag of {pair}"] = open_state, blob.get("gates", {}).get(pair)
    return found


def differences(ours: dict[str, Any], calm: dict[str, Any]) -> list[str]:
    """Return in words where a run ended otherwise than an undisturbed one; flags where both gates stand alike."""
    told = []
    for name, value in ours.items():
        other = calm[name]
        alike = not name.startswith("flag") or value[0] != other[0] or value[1] == other[1]
        if not alike or (not name.startswith("flag") and value != other):
            told.append(f"{name} ends as {value}, undisturbed it would have ended as {other}")
    return told
