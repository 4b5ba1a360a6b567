"""The name of a parameter set, under which its evaluations are kept."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from zlib import crc32

import msgspec

from hotbandd.core.documents import Params
from hotbandd.core.setup import ENFORCED, Setup, cost_bps


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
    own = {name: _text(value) for name, default in _FURTHER.items() if (value := getattr(params, name)) != default}
    return base + "".join(f":{name}={value}" for name, value in sorted({**extras, **own}.items()))


_IN_BASE = {"c_min", "direction_lookback", "dir_threshold_bps", "entry_cooldown_sec", "exit_cooldown_sec"}
_FURTHER = {part.name: part.default for part in msgspec.structs.fields(Params) if part.name not in _IN_BASE}


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else shortest(value)


def shortest(x: float) -> str:
    """Return the shortest decimal that reads back as the same number, without an exponent."""
    text = format(Decimal(repr(float(x))), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
