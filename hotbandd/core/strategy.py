"""What a back-test trades on: direction rules by name, thresholds, guards and costs.

A direction rule is a pure function of closes, metrics and parameters to one of −1, 0, 1 per candle that looks at no later candle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Final
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from hotbandd.core.candles import DAY_MS, MINUTE_MS, Candles, Floats, Ints, Mask
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns
from hotbandd.errors import UsageError

Sides = NDArray[np.int8]
Direction = Callable[[Floats, MetricColumns, Params], Sides]
Threshold = float | str

BPS: Final = 10_000.0
PERCENTILE_DAYS: Final = 30
SPREAD_DAYS: Final = 30
SLIPPAGE_BPS: Final = 0.2
DEFAULT_COST_BPS: Final[Mapping[str, float]] = {
    "USD_JPY": 1.6,
    "USD_CAD": 2.0,
    "EUR_USD": 2.2,
    "GBP_USD": 2.3,
    "EUR_JPY": 2.4,
    "USD_CHF": 2.7,
    "AUD_USD": 3.2,
    "NZD_USD": 3.9,
}
OTHER_COST_BPS: Final = 3.0

ENFORCED: Final[Mapping[str, bool]] = {"calibrated": True, "native": False}  # whether guards filter entries, by default

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Guards:
    """Bounds that an entry must meet besides coherence, where enforced."""

    enforce: bool
    s_min: Threshold
    h_max: Threshold
    r_max: Threshold
    hazard_max: Threshold


def combined(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    """Follow a slope of at least the threshold over the look-back, while coherence has not fallen over it."""
    back = params.direction_lookback
    sides = np.zeros(len(closes), dtype=np.int8)
    if len(closes) <= back:
        return sides
    slope_bps = BPS * np.log(closes[back:] / closes[:-back])
    coherent = metrics.coherence[back:] >= metrics.coherence[:-back]
    rising = slope_bps >= params.dir_threshold_bps
    falling = slope_bps <= -params.dir_threshold_bps
    sides[back:] = (rising & coherent).astype(np.int8) - (falling & ~rising & coherent).astype(np.int8)
    return sides


def fade(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    """Take the opposite side of ``combined``."""
    return -combined(closes, metrics, params)


BUILT_IN: Final[Mapping[str, Direction]] = {"combined": combined, "fade": fade}


def accept(found: Mapping[str, Direction]) -> dict[str, Direction]:
    """Return the built-in rules and those found elsewhere, each of them checked.

    Raises UsageError for a name that is taken or malformed, and for a rule that looks ahead.
    """
    for name, rule in found.items():
        if not _NAME.fullmatch(name) or name in BUILT_IN:
            raise UsageError(
                f"A strategy cannot be named {name!r}; take lower-case letters, digits and _, and no built-in name."
            )
        look_ahead_check(rule, name)
    return {**BUILT_IN, **found}


def direction(
    name: str, closes: Floats, metrics: MetricColumns, params: Params, rules: Mapping[str, Direction] = BUILT_IN
) -> Sides:
    """Return the sides, int8[n], that the named rule takes. Raises UsageError for an unknown name."""
    if name not in rules:
        raise UsageError(f"There is no strategy {name!r}; take one of {', '.join(sorted(rules))}.")
    return rules[name](closes, metrics, params)


def parse_threshold(text: str) -> Threshold:
    """Parse a number or ``pNN``. Raises UsageError."""
    cleaned = text.strip()
    if _PERCENTILE.fullmatch(cleaned):
        return cleaned
    try:
        value = float(cleaned)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UsageError(f"{text!r} is no threshold; write a number such as 0.55, or a percentile from p0 to p100.")
    return value


def threshold(spec: Threshold, t: Ints, values: Floats) -> float | Floats:
    """Return what a metric is compared with: the number, or the percentile in force at each candle's close, float64[n].

    A percentile is taken at UTC midnight over the values known in the 30 days before, linearly interpolated; NaN, which
    nothing meets, while the first known value is younger than that. Raises UsageError for a malformed percentile.
    """
    if not isinstance(spec, str):
        return spec
    parsed = parse_threshold(spec)
    return parsed if isinstance(parsed, float) else _percentiles(float(parsed[1:]), t, values)


def _percentiles(percent: float, t: Ints, values: Floats) -> Floats:
    known = np.isfinite(values)
    known_at, known_values = (t + MINUTE_MS)[known], values[known]
    midnights, day = np.unique((t + MINUTE_MS) // DAY_MS * DAY_MS, return_inverse=True)
    starts = midnights - PERCENTILE_DAYS * DAY_MS
    first, last = np.searchsorted(known_at, (starts, midnights), side="right")
    levels = np.full(len(midnights), np.nan)
    for i in np.flatnonzero((first > 0) & (last > first)):  # first > 0: a value was known when the 30 days began
        levels[i] = np.percentile(known_values[first[i] : last[i]], percent)
    at: Floats = levels[day]
    return at


def admitted(t: Ints, metrics: MetricColumns, c_min: Threshold, guards: Guards) -> Mask:
    """Tell at which candles' closes the metrics admit an entry, bool[n]; an unknown metric or threshold never does."""
    met: Mask = metrics.coherence >= threshold(c_min, t, metrics.coherence)
    if not guards.enforce:
        return met
    met &= metrics.stability >= threshold(guards.s_min, t, metrics.stability)
    met &= metrics.entropy <= threshold(guards.h_max, t, metrics.entropy)
    met &= metrics.rupture <= threshold(guards.r_max, t, metrics.rupture)
    met &= metrics.hazard <= threshold(guards.hazard_max, t, metrics.hazard)
    return met


def cost_bps(instrument: str, overrides: Mapping[str, float]) -> float:
    """Return the cost of a round trip in basis points: the override, else the instrument's default."""
    return overrides.get(instrument, DEFAULT_COST_BPS.get(instrument, OTHER_COST_BPS))


def spread_cost_bps(candles: Candles, start_ms: int) -> float | None:
    """Return the median spread of the 30 days before a run's start plus slippage, in basis points; None without quotes."""
    before = candles.between(start_ms - SPREAD_DAYS * DAY_MS, start_ms).closed_by(start_ms)
    spread = BPS * (before.ask - before.bid) / ((before.ask + before.bid) / 2)
    quoted = spread[np.isfinite(spread)]
    return float(np.median(quoted)) + SLIPPAGE_BPS if len(quoted) else None


@dataclass(frozen=True)
class Setup:
    """What a back-test depends on besides its parameters, from the settings.

    ``windows`` is the canonical text of the session overrides, empty without them; ``costs`` the costs set per
    instrument; ``rules`` the accepted strategies.
    """

    kernel: str
    guards: Guards
    sessions: bool
    exit_minutes: int
    windows: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    cost_from_spread: bool = False
    rules: Mapping[str, Direction] = field(default_factory=lambda: BUILT_IN)

    def cost(self, instrument: str, params: Params, candles: Candles, start_ms: int) -> float:
        """Return a run's cost in basis points.

        The one of its parameters; else the measured spread, if asked for and known; else as set, or by default.
        """
        if params.cost_bps is not None:
            return params.cost_bps
        spread = spread_cost_bps(candles, start_ms) if self.cost_from_spread else None
        return cost_bps(instrument, self.costs) if spread is None else spread


def extras(instrument: str, setup: Setup, default: Setup) -> dict[str, str]:
    """Return what of a setup changes a run and differs from the default setup, as the further parts of a ``param_key``.

    Bounds count only where they are enforced, the exit window and the windows only where sessions gate.
    """
    parts: dict[str, str] = {}
    if setup.kernel != default.kernel:
        parts["kernel"] = setup.kernel
    if setup.guards.enforce != ENFORCED[setup.kernel]:
        parts["guards"] = str(int(setup.guards.enforce))
    if setup.guards.enforce:
        parts |= {
            bound: _text(ours)
            for bound in ("s_min", "h_max", "r_max", "hazard_max")
            if (ours := getattr(setup.guards, bound)) != getattr(default.guards, bound)
        }
    return parts | _session_extras(setup, default) | _cost_extras(instrument, setup)


def _session_extras(setup: Setup, default: Setup) -> dict[str, str]:
    if not setup.sessions:
        return {} if not default.sessions else {"sessions": "0"}
    parts = {}
    if setup.exit_minutes != default.exit_minutes:
        parts["exit_minutes"] = str(setup.exit_minutes)
    if setup.windows != default.windows:
        parts["windows"] = f"{crc32(setup.windows.encode()):08x}"
    return parts


def _cost_extras(instrument: str, setup: Setup) -> dict[str, str]:
    if setup.cost_from_spread:
        return {"cost_bps": "spread"}
    set_to = cost_bps(instrument, setup.costs)
    return {} if set_to == cost_bps(instrument, {}) else {"cost_bps": shortest(set_to)}


def param_key(params: Params, extras: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the name of a parameter set, such as ``c0.55:l12:t2:ec60:xc60``, with what differs from its default behind it.

    ``extras`` name what the run depends on besides the parameters; a parameter of the same name stands before one of them.
    """
    base = (
        f"c{_text(params.c_min)}:l{params.direction_lookback}:t{shortest(params.dir_threshold_bps)}"
        f":ec{params.entry_cooldown_sec}:xc{params.exit_cooldown_sec}"
    )
    own = {
        part.name: _text(value)
        for part in msgspec.structs.fields(Params)
        if part.name not in _IN_BASE and (value := getattr(params, part.name)) != part.default
    }
    return base + "".join(f":{name}={value}" for name, value in sorted({**extras, **own}.items()))


_IN_BASE = {"c_min", "direction_lookback", "dir_threshold_bps", "entry_cooldown_sec", "exit_cooldown_sec"}


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else shortest(value)


def shortest(x: float) -> str:
    """Return the shortest decimal that reads back as the same number, without an exponent."""
    text = format(Decimal(repr(float(x))), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


_CHECK_SIZE = 2000
_CHECK_CUTS = 40
_CHECK_PARAMS = (
    Params(c_min=0.0, direction_lookback=12, dir_threshold_bps=2.0),
    Params(c_min=0.0, direction_lookback=3, dir_threshold_bps=0.5),
)


def look_ahead_check(rule: Direction, name: str = "given") -> None:
    """Perturb the future of a sample walk, and cut it off: no past side may move.

    Raises UsageError for a rule that looks ahead, or whose answer is not one of −1, 0, 1 per candle.
    """
    closes, metrics = _sample_walk()
    for params in _CHECK_PARAMS:
        sides = rule(closes, metrics, params)
        if np.shape(sides) != closes.shape or not np.isin(sides, (-1, 0, 1)).all():
            raise UsageError(f"The strategy {name!r} must give one of -1, 0, 1 for each candle.")
        for cut in np.linspace(1, _CHECK_SIZE - 1, _CHECK_CUTS, dtype=np.int64).tolist():
            for future_closes, future_metrics in _futures(closes, metrics, cut):
                moved = np.flatnonzero(rule(future_closes, future_metrics, params)[:cut] != sides[:cut])
                if len(moved):
                    raise UsageError(
                        f"The strategy {name!r} looks ahead: its side at candle {moved[0]} moves with candles from {cut} on."
                    )


def _sample_walk() -> tuple[Floats, MetricColumns]:
    draw = np.random.default_rng(0)
    closes = np.exp(np.cumsum(draw.standard_normal(_CHECK_SIZE)) * 1.5 / BPS)
    return closes, MetricColumns(*draw.random((len(MetricColumns._fields), _CHECK_SIZE)))


def _futures(closes: Floats, metrics: MetricColumns, cut: int) -> Iterator[tuple[Floats, MetricColumns]]:
    """Iterate over other futures from a candle on: prices up, prices down, metrics turned over, and none at all."""
    later = np.arange(len(closes)) >= cut
    for factor in (1.01, 0.99):
        yield np.where(later, closes * factor, closes), metrics
    yield closes, MetricColumns(*(np.where(later, 1.0 - column, column) for column in metrics))
    yield closes[:cut], metrics.take(slice(0, cut))
