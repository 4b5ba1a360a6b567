"""Direction rules by name, and the check that none of them looks ahead.

A direction rule is a pure function of closes, metrics and parameters to one of −1, 0, 1 per candle that looks at no later candle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hotbandd.core.candles import Floats
from hotbandd.core.documents import Params
from hotbandd.core.series import MetricColumns
from hotbandd.errors import InputError, UsageError

Sides = NDArray[np.int8]
Direction = Callable[[Floats, MetricColumns, Params], Sides]

BPS: Final = 10_000.0

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def combined(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    """Follow a slope of at least the threshold over the look-back, while coherence has not fallen over it."""
    back = params.direction_lookback
    sides = np.zeros(len(closes), dtype=np.int8)
    if len(closes) <= back:
        return sides
    slope_bps = closes[back:] / closes[:-back]
    np.log(slope_bps, out=slope_bps)  # in place: fresh memory costs more than the logarithms
    slope_bps *= BPS
    coherent = metrics.coherence[back:] >= metrics.coherence[:-back]
    rising = slope_bps >= params.dir_threshold_bps
    falling = slope_bps <= -params.dir_threshold_bps
    np.subtract(rising & coherent, falling & ~rising & coherent, out=sides[back:], dtype=np.int8)
    return sides


def fade(closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    """Take the opposite side of ``combined``."""
    return -combined(closes, metrics, params)


BUILT_IN: Final[Mapping[str, Direction]] = {"combined": combined, "fade": fade}


def reads(params: Params) -> object:
    """Return what a rule's sides may depend on besides candles and metrics; a rule found elsewhere may read every parameter."""
    if params.strategy not in BUILT_IN:
        return params
    return params.strategy, params.direction_lookback, params.dir_threshold_bps


def memory(params: Params) -> int | None:
    """Return how many candles back a rule's side looks; None for a rule found elsewhere, which may look back on all of them."""
    return params.direction_lookback if params.strategy in BUILT_IN else None


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
    """Return the sides, int8[n], that the named rule takes.

    Raises UsageError for an unknown name, InputError where a rule found elsewhere fails, or answers otherwise than with sides.
    """
    if name not in rules:
        raise UsageError(f"There is no strategy {name!r}; take one of {', '.join(sorted(rules))}.")
    if name in BUILT_IN:
        return BUILT_IN[name](closes, metrics, params)
    return _asked(rules[name], name, closes, metrics, params)


def _asked(rule: Direction, name: str, closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    """Ask a rule that is not ours."""
    try:
        sides = np.asarray(rule(closes, metrics, params))
        whole = sides.shape == closes.shape and bool(np.isin(sides, (-1, 0, 1)).all())
    except Exception as error:
        raise InputError(f"The strategy {name!r} failed: {error!r}; mend it, or choose another.") from error
    if not whole:
        raise InputError(f"The strategy {name!r} must give one of -1, 0, 1 for each candle.")
    return sides.astype(np.int8)


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
        sides = _sampled(rule, name, closes, metrics, params)
        for cut in np.linspace(1, _CHECK_SIZE - 1, _CHECK_CUTS, dtype=np.int64).tolist():
            for future_closes, future_metrics in _futures(closes, metrics, cut):
                moved = np.flatnonzero(_sampled(rule, name, future_closes, future_metrics, params)[:cut] != sides[:cut])
                if len(moved):
                    raise UsageError(
                        f"The strategy {name!r} looks ahead: its side at candle {moved[0]} moves with candles from {cut} on."
                    )


def _sampled(rule: Direction, name: str, closes: Floats, metrics: MetricColumns, params: Params) -> Sides:
    try:
        return _asked(rule, name, closes, metrics, params)
    except InputError as error:
        raise UsageError(str(error)) from error


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
