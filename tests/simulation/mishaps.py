"""What a seed has happen, one after the other or all together: each mishap is drawn with its own strength."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.simulation.market import Hidden
from tests.simulation.rules import MINUTE
from tests.simulation.server import CORRUPTIBLE, foreign_values

if TYPE_CHECKING:
    from tests.simulation.world import World

SECOND, HOUR = 1000, 60 * MINUTE


def _some_ms(draw: random.Random) -> int:
    """Return seconds, minutes or, seldom, hours."""
    return (
        draw.choice(
            [draw.uniform(1, 30), draw.uniform(30, 600), draw.uniform(60, 1200), draw.uniform(600, 9000)]
        ).__trunc__()
        * 1000
    )


def store_away(world: World, draw: random.Random) -> None:
    length = _some_ms(draw)
    world.server.faults.away = world.now() + length
    if length > 120 * SECOND or draw.random() < 0.5:
        world.server.faults.hangs = world.server.faults.away


def store_slow(world: World, draw: random.Random) -> None:
    world.server.faults.slow = world.now() + min(_some_ms(draw), HOUR)


def store_flaky(world: World, draw: random.Random) -> None:
    world.server.faults.flaky = world.now() + min(_some_ms(draw), HOUR)


def store_call_fails(world: World, draw: random.Random) -> None:
    for _ in range(draw.randrange(1, 4)):
        world.server.faults.failing[world.server.calls + draw.randrange(1, 60)] = draw.choice(["before", "after"])


def store_dies_publishing(world: World, draw: random.Random) -> None:
    world.server.faults.dying = draw.choice([draw.randrange(1, 600), draw.randrange(600, 9000)]) * SECOND


def store_emptied(world: World, draw: random.Random) -> None:
    world.server.restart(None)
    store_away(world, draw)


def store_restored(world: World, draw: random.Random) -> None:
    if world.snapshots:
        world.server.restart(draw.choice(world.snapshots))
        store_away(world, draw)


def value_corrupt(world: World, draw: random.Random) -> None:
    inner = world.server.inner
    states = [key for key in inner._values if key.startswith(("opt:rolling:state:", "ws:last:", "bt:rolling:summary:"))]
    key = draw.choice([*CORRUPTIBLE, *sorted(states)])
    inner._keep(key, foreign_values(draw), None)


def protected_corrupt(world: World, draw: random.Random) -> None:
    """Spoil what only an operator can mend, who does so after a while."""
    key = draw.choice(["hotband:fence:gates", "hotband:fence:weights", "hotband:leader", "hotband:epoch"])
    world.server.inner._keep(key, foreign_values(draw) or b"x", None)
    world.server.inner._lease_end = min(world.server.inner._lease_end, world.loop.time() + 1e9)
    world.observer.restarted(world.server)
    if key != "hotband:epoch":
        world.later(draw.uniform(10, 1800), lambda: world.operator_deletes(key))


def member_corrupt(world: World, draw: random.Random) -> None:
    inner = world.server.inner
    packed = sorted(key for key, days in inner._hashes.items() if days)
    key = draw.choice(sorted(inner._sets) + packed) if inner._sets else None
    if key in packed:
        day = draw.choice(sorted(inner._hashes[key]))
        inner._hashes[key][day] = draw.choice([foreign_values(draw), inner._hashes[key][day][:-9]])
        world.touched(key)
    elif key is not None and inner._sets[key]._members:
        scores = sorted(inner._sets[key]._members)
        for _ in range(draw.randrange(1, 5)):
            score = draw.choice(scores[-draw.choice([1, 10, 1000]) :])
            inner._sets[key].put(
                foreign_values(draw), score if draw.random() < 0.8 else score + draw.randrange(1, MINUTE)
            )
        world.touched(key)


def wrong_type(world: World, draw: random.Random) -> None:
    inner = world.server.inner
    key = draw.choice([*CORRUPTIBLE, *sorted(key for key in inner._sets if not key.startswith("sep:"))])
    world.server.faults.wrong_type[key] = world.now() + draw.randrange(10, 400) * SECOND
    if key in inner._sets:
        inner._sets.pop(key)
        world.touched(key)
    else:
        inner._values.pop(key, None)


def key_lost(world: World, draw: random.Random) -> None:
    inner = world.server.inner
    keys = (*inner._values, *inner._sets, *inner._hashes)
    found = sorted(key for key in keys if not key.startswith(("sep:", "hotband:fence")))
    if found:
        key = draw.choice(found)
        inner._values.pop(key, None)
        inner._ends.pop(key, None)
        if inner._sets.pop(key, None) is not None or inner._hashes.pop(key, None) is not None:
            world.touched(key)
        if key == "hotband:leader":
            world.observer.restarted(world.server)


def kill_switch(world: World, draw: random.Random) -> None:
    value = draw.choice([b"0", b"1", b"1", foreign_values(draw), None])
    if value is None:
        world.server.inner._values.pop("ops:kill_switch", None)
    else:
        world.server.inner._keep("ops:kill_switch", value, None)
    world.later(draw.uniform(60, 7200), lambda: world.server.inner._keep("ops:kill_switch", b"0", None))


def gates_outlive(world: World, draw: random.Random) -> None:
    """Have the evaluator cut off, and the gates stay for ever: as from a dump without expiries."""
    if world.server.inner._ends.pop("opt:rolling:gates_blob", None) is not None:
        world.server.faults.deaf_to["evaluator"] = world.now() + draw.randrange(1, 6) * HOUR


def _pair(world: World, draw: random.Random) -> str | None:
    return draw.choice([None, None, *world.settings.pairs])


def source_away(world: World, draw: random.Random) -> None:
    world.source.faults.away[_pair(world, draw)] = world.now() + _some_ms(draw)


def source_refuses(world: World, draw: random.Random) -> None:
    world.source.faults.refusing[_pair(world, draw)] = world.now() + _some_ms(draw)


def source_late(world: World, draw: random.Random) -> None:
    world.source.faults.late[_pair(world, draw)] = world.now() + _some_ms(draw), draw.randrange(1, 12) * MINUTE


def source_noisy(world: World, draw: random.Random) -> None:
    world.source.faults.noisy[_pair(world, draw)] = world.now() + min(_some_ms(draw), HOUR * 3 // 4)


def source_broken(world: World, draw: random.Random) -> None:
    world.source.faults.broken[_pair(world, draw)] = world.now() + _some_ms(draw)


def source_hides(world: World, draw: random.Random) -> None:
    """Keep some minutes back, and tell them within the hour."""
    now = world.now()
    start = now - draw.randrange(0, 3) * MINUTE
    end = start + draw.randrange(1, 20) * MINUTE
    until = end + draw.randrange(0, 30) * MINUTE
    world.source.faults.hidden.append(Hidden(draw.choice(world.settings.pairs), start, end, until))


def pool_fails(world: World, draw: random.Random) -> None:
    world.compute.failing_until = world.loop.time() + _some_ms(draw) / 1000


def crash(world: World, draw: random.Random) -> None:
    daemon = world.any_daemon(draw)
    if daemon is not None:
        daemon.kill()


def ended(world: World, draw: random.Random) -> None:
    daemon = world.any_daemon(draw)
    if daemon is not None and not daemon.stopped:
        daemon.terminate()


def at_a_call(world: World, draw: random.Random) -> None:
    daemon = world.any_daemon(draw)
    if daemon is not None:
        seconds = world.settings.lease_ttl_sec * draw.uniform(0.5, 3)
        daemon.at_call = draw.randrange(0, 80), draw.choice(["kill", "terminate", "terminate", "stop", "stop"]), seconds
        if draw.random() < 0.7:
            world.start_rival(draw)


def stopped(world: World, draw: random.Random) -> None:
    daemon = world.any_daemon(draw)
    if daemon is not None and not daemon.stopped:
        daemon.stop(world.settings.lease_ttl_sec * draw.uniform(0.2, 3))
        if draw.random() < 0.8:
            world.start_rival(draw)


def rival(world: World, draw: random.Random) -> None:
    world.start_rival(draw)
    if draw.random() < 0.5:
        crash(world, draw)


def cut_off(world: World, draw: random.Random) -> None:
    daemon = world.any_daemon(draw)
    if daemon is not None:
        daemon.cut_off = world.now() + min(_some_ms(draw), HOUR)
        world.start_rival(draw)


def other_settings(world: World, draw: random.Random) -> None:
    mode: Any = draw.choice(["hold", "reduce_only"])
    world.reload(
        replace(
            world.settings,
            risk_alloc_target_pct=draw.choice([0.3, 0.2, 0.15, 0.07]),
            pm_max_per_pos_pct=draw.choice([0.2, 0.1, 0.05]),
            alloc_hold_mode=mode,
            alloc_max_hold_sec=draw.choice([0, 3600, 7200, 14400]),
            alloc_top_k=draw.choice([1, 2, 3]),
            req_consec=draw.choice([1, 2, 3]),
            cooldown_sec=draw.choice([0, 3600, 7200]),
        )
    )


def other_parameters(world: World, draw: random.Random) -> None:
    pair = draw.choice(world.settings.pairs)
    if draw.random() < 0.3:
        world.live_params.broken = True
        world.later(draw.uniform(60, 7200), world.mend_parameters)
    else:
        changed = draw.choice(
            [{}, {"c_min": 0.5}, {"c_min": 0.6, "direction_lookback": 20}, {"dir_threshold_bps": 1.5}]
        )
        world.live_params.overlays = {**world.live_params.overlays, pair: changed}


MISHAPS: tuple[Callable[[World, random.Random], None], ...] = (
    store_away,
    store_slow,
    store_flaky,
    store_call_fails,
    store_call_fails,
    store_dies_publishing,
    store_dies_publishing,
    store_emptied,
    store_restored,
    value_corrupt,
    value_corrupt,
    protected_corrupt,
    member_corrupt,
    wrong_type,
    key_lost,
    key_lost,
    kill_switch,
    kill_switch,
    kill_switch,
    gates_outlive,
    source_away,
    source_refuses,
    source_late,
    source_noisy,
    source_broken,
    source_hides,
    source_hides,
    pool_fails,
    crash,
    crash,
    ended,
    at_a_call,
    at_a_call,
    at_a_call,
    stopped,
    rival,
    cut_off,
    other_settings,
    other_parameters,
)
