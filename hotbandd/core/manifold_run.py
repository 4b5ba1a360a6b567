"""The whole manifold document of a run over candles: every signal, the last metrics, the coefficients.

Profile ``strict`` measures windows of 128 at every candle, stamped at the close of their newest one. Profile ``native`` repeats the
original's generator: short input takes shorter windows, of long input only the last 512 bits count, in steps, and a signal bears the
stamp of its oldest candle.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from hotbandd.core.candle_input import require_strict
from hotbandd.core.candles import MINUTE_MS, Candles, Floats, Ints
from hotbandd.core.manifold import COEFF_WINDOW, WINDOW, Family, hazard_of, longest_gaps, state_of, structure_of
from hotbandd.core.signature import Occurrence, occurrences, signatures
from hotbandd.errors import UsageError
from kernels import native, texture
from kernels.encoding import encode
from kernels.hazard import run_hazard
from kernels.structure import DECIMALS, Structure
from kernels.texture import Texture
from kernels.volatility import sigma_eff

Profile = Literal["strict", "native"]

_NATIVE_CAP = 512  # bits after the first window that the original still looks at
_NATIVE_LEAST = 8  # bits under which there is no window
_NESTED_ONLY = ("coherence_tau_1", "coherence_tau_4")
_NANOSECONDS = 2**64


class Run(NamedTuple):
    """Signals of a run, in order: metrics, and stamp (ms), price and longest gap (minutes, 0 for none) of each."""

    structure: Structure
    texture: Texture
    t_ms: Ints
    price: Floats
    gap_minutes: Floats
    hazard: float
    sigma_eff: float


def run_document(
    candles: Candles,
    instrument: str,
    *,
    family: Family,
    profile: Profile,
    precision: float,
    levels: int,
    lookback_min: int,
    every_window: bool = False,
) -> dict[str, Any]:
    """Return the document of ``hotbandd manifold``.

    ``every_window`` lets the native profile end a window in every bit, without its cap, as the original's other build does.
    Raises CandleInputError, in the strict profile, for candles that no window may be measured on.
    """
    if profile == "native":
        if family != "native":
            raise UsageError(
                "The native profile measures the native family only; leave the kernel out, or choose strict."
            )
        precision, lookback_min = min(max(precision, 0), 6), min(max(lookback_min, 1), COEFF_WINDOW)
        run = _native_run(candles, every_window=every_window)
    else:
        require_strict(candles)
        run = _strict_run(family, candles)
    names = signatures(family, run.structure, precision=precision, levels=levels)
    repeated = occurrences(names, run.t_ms.tolist(), lookback_min)
    return _document(instrument, candles, run, _signals(family, run, names, repeated))


def day_document(
    candles: Candles,
    instrument: str,
    start_ms: int,
    *,
    family: Family,
    precision: int,
    levels: int,
    lookback_min: int,
) -> dict[str, Any]:
    """Return the strict document of the candles that close after a moment; the earlier ones are only looked back on.

    Two days and 128 candles before the moment make every figure what a longer run would give.
    """
    run = _strict_run(family, candles)
    names = signatures(family, run.structure, precision=precision, levels=levels)
    repeated = occurrences(names, run.t_ms.tolist(), lookback_min)
    first = int(np.searchsorted(run.t_ms, start_ms, side="right"))
    shown = _signals(family, run, names, repeated)[first:]
    return _document(instrument, candles.take(candles.t + MINUTE_MS > start_ms), run, shown)


def _document(instrument: str, candles: Candles, run: Run, signals: list[dict[str, Any]]) -> dict[str, Any]:
    if not candles.size:
        return {"instrument": instrument, "count": 0, "signals": []}
    return {
        "instrument": instrument,
        "count": candles.size,
        "t0_ms": int(candles.t[0]),
        "t1_ms": int(candles.t[-1]),
        "signals": signals,
        "metrics": signals[-1]["metrics"] if signals else _no_metrics(),
        "coeffs": {"sigma_eff": run.sigma_eff, "lambda": run.hazard},
    }


def _strict_run(family: Family, candles: Candles) -> Run:
    structure = structure_of(family, candles)
    bits = encode(candles.close, candles.high, candles.low, candles.volume)
    ends = candles.t[WINDOW:]
    hazard = hazard_of(family, structure.rupture, ends)
    grain = texture.measure(bits, structure.rupture, WINDOW)
    return Run(
        structure=structure,
        texture=Texture(*(np.round(column, DECIMALS) for column in grain)),
        t_ms=ends + MINUTE_MS,
        price=candles.close[WINDOW:],
        gap_minutes=longest_gaps(candles.t),
        hazard=float(hazard[-1]) if len(hazard) else 0.0,
        sigma_eff=sigma_eff(candles.close[-COEFF_WINDOW:]),
    )


def _native_run(candles: Candles, *, every_window: bool) -> Run:
    bits = encode(candles.close, candles.high, candles.low, candles.volume)
    m = native_window(len(bits))
    first = _native_starts(len(bits), m, every_window=every_window)
    whole = native.structure(bits, m, single=True)
    structure = Structure(*(column[first] for column in whole))
    grain = texture.measure(bits, whole.rupture, m)
    return Run(
        structure=structure,
        texture=Texture(*(column[first] for column in grain)),
        t_ms=candles.t[first + 1],
        price=candles.close[first + 1],
        gap_minutes=np.zeros(len(first)),
        hazard=run_hazard(structure.rupture, candles.t[first + 1]),
        sigma_eff=sigma_eff(candles.close),
    )


def native_window(bits: int) -> int:
    """Return how many bits a window of the original has, given how many there are; at least 1."""
    if bits > WINDOW:
        return WINDOW
    if bits > 24:
        return bits - min(8, bits // 4)
    if bits > 12:
        return 12
    return 9 if bits > 8 else max(1, bits)


def _native_starts(bits: int, m: int, *, every_window: bool) -> Ints:
    """Return the first bit of each of the original's windows."""
    if bits < _NATIVE_LEAST:
        return np.empty(0, dtype=np.int64)
    capped = bits - m > _NATIVE_CAP and not every_window
    first = bits - _NATIVE_CAP if capped else m
    step = 1 if every_window else max(1, m // 32)
    return np.arange(first, bits + 1, step) - m


def _signals(family: Family, run: Run, names: list[str], repeated: list[Occurrence]) -> list[dict[str, Any]]:
    columns = [*run.structure, *run.texture]
    keys = (*Structure._fields, *Texture._fields)
    rows = zip(run.t_ms.tolist(), run.price.tolist(), run.gap_minutes.tolist(), names, repeated, strict=True)
    metrics = (dict(zip(keys, values, strict=True)) for values in zip(*(c.tolist() for c in columns), strict=True))
    return [_signal(family, row, values) for row, values in zip(rows, metrics, strict=True)]


def _signal(
    family: Family, row: tuple[int, float, float, str, Occurrence], metrics: dict[str, float]
) -> dict[str, Any]:
    stamp, price, gap, name, occurrence = row
    rupture = metrics["rupture"]
    signal: dict[str, Any] = {
        "timestamp_ns": stamp * 1_000_000 % _NANOSECONDS,
        "price": price,
        "state": state_of(family, rupture),
        "metrics": metrics,
        "coeffs": {"lambda_hazard": rupture},
        "repetition": {"signature": name, "count_1h": occurrence.times, "first_seen_ms": occurrence.first_ms},
        **{key: value for key, value in metrics.items() if key not in _NESTED_ONLY},
        "lambda_hazard": rupture,
    }
    if gap:
        signal["diagnostics"] = {"gap_minutes": gap}
    return signal


def _no_metrics() -> dict[str, float]:
    return {key: float(key == "pinned_alignment") for key in (*Structure._fields, *Texture._fields)}
