"""A telemetry to which everything was reported, for as many instruments as asked for."""

from __future__ import annotations

import msgspec

from hotbandd.adapters.metrics import PrometheusTelemetry, telemetry
from hotbandd.core.documents import Texture
from tests.adapters.store_samples import SPAN, START, blob, manifold, status, summary

REASONS = ("cooldown", "recent_loss", "session_closed")


def reported(instruments: int) -> PrometheusTelemetry:
    pairs = [f"A{number:03d}_USD" for number in range(instruments)]
    to = telemetry(lambda: START + 30_000)
    texture = dict.fromkeys(Texture.__struct_fields__, 0.1234567)
    plain = manifold()
    textured = msgspec.structs.replace(plain, metrics=msgspec.structs.replace(plain.metrics, **texture))
    to.schedule({"hydrator": 10.0, "evaluator": 900.0, "allocator": 600.0}, 1800.0)
    for pair in pairs:
        to.candles(pair, "stored", 3)
        to.candles(pair, "off_grid", 1)
        to.newest_candle(pair, START)
        to.manifold(msgspec.structs.replace(textured, instrument=pair))
    gates = msgspec.structs.replace(
        blob(),
        gates=dict.fromkeys(pairs, 0),
        cooldowns=dict.fromkeys(pairs, 1),
        bufs=dict.fromkeys(pairs, 0.1),
        reasons={pair: list(REASONS) for pair in pairs},
    )
    judged = msgspec.structs.replace(summary(), summary={"30": SPAN})
    to.evaluated(gates, {}, dict.fromkeys(pairs, judged))
    to.span_integrity(ok=True)
    to.sessions(dict.fromkeys(pairs, True))
    to.allocated(dict.fromkeys(pairs, 0.1), msgspec.structs.replace(status(), selected=pairs))
    to.kernel(0.02)
    for loop in ("hydrator", "evaluator", "allocator"):
        to.loop_succeeded(loop, START, 0.5)
        to.loop_failed(loop, "StoreUnreachableError")
    to.leader(leading=True, epoch=1)
    to.store_up(up=True)
    to.event_loop_lag(0.001)
    to.clock_behind(0.0)
    to.compute(fallback=False)
    to.worker_restarted()
    to.source_request("ok")
    return to
