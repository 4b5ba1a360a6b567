"""Promotion: which winners may go in force, the document that puts them there, and the settings of the best of all."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from hotbandd.core import live_params
from hotbandd.core.documents import Params
from hotbandd.core.param_key import shortest
from hotbandd.core.trial_documents import GLOBAL, BestConfig
from hotbandd.errors import ParamsError, UsageError
from hotbandd.settings import TABLE, env_file

SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "c_min": ("guard_min_coherence", "auto_min_coherence"),
    "direction_lookback": ("auto_direction_lookback",),
    "dir_threshold_bps": ("auto_dir_threshold_bps",),
}
"""By parameter, the fields of the settings that apply it."""

_FIGURES: Final = ("trades", "calmar", "pnl_total", "profit_factor", "win_rate", "max_drawdown")
_FROM_SETTINGS: Final = {*SETTINGS, "strategy"}  # left out, an entry would follow the settings
_ANY: Final = "ANY_PAIR"
_QUOTED: Final = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""")
_COMMENT: Final = re.compile(r"(?:^|\s)#")


def judged(config: BestConfig, min_dsr: float, max_pbo: float) -> str | None:
    """Return why a winner may not be promoted, None where it may; ``min_dsr`` 0 and ``max_pbo`` 1 are no bounds."""
    luck = config.luck
    dsr, pbo = (luck.deflated_sharpe, luck.pbo) if luck else (None, None)
    faults = []
    if min_dsr > 0 and (dsr is None or dsr < min_dsr):
        faults.append(_fault("deflated Sharpe ratio", dsr, f"below PROMOTE_MIN_DSR ({shortest(min_dsr)})"))
    if max_pbo < 1 and (pbo is None or pbo > max_pbo):
        faults.append(_fault("probability of over-fitting", pbo, f"above PROMOTE_MAX_PBO ({shortest(max_pbo)})"))
    return f"{config.instrument} is not promoted: {', and '.join(faults)}." if faults else None


def unusable(config: BestConfig, strategies: Collection[str]) -> str | None:
    """Return why a winner's parameters would be refused where they are read, None where they are good."""
    entry = {"params": msgspec.structs.asdict(config.params)}
    try:
        live_params.parse({"instruments": {_ANY: entry}}, strategies)
    except ParamsError as error:
        return f"{config.instrument} is not promoted: its {error.path[-1]} {error.reason}"
    return None


def document(instruments: Mapping[str, BestConfig], global_: BestConfig | None, now: int) -> dict[str, Any]:
    """Return what ``config/live_params.yaml`` is to hold."""
    made: dict[str, Any] = {"instruments": {name: _entry(config, now) for name, config in sorted(instruments.items())}}
    if global_ is not None:
        made["global"] = _entry(global_, now)
    return made


def keeping(made: dict[str, Any], earlier: Any) -> dict[str, Any]:
    """Return a document with the entries that an earlier one has alike: they still say when they were promoted."""
    if not isinstance(earlier, Mapping):
        return made
    before = _entries(earlier)
    kept: dict[str, Any] = {
        "instruments": {name: _older(entry, before.get(name)) for name, entry in made["instruments"].items()}
    }
    if "global" in made:
        kept["global"] = _older(made["global"], earlier.get("global"))
    return kept


def params_of(found: Any) -> dict[str, Any]:
    """Return the parameters of each instrument in a document, and of GLOBAL; what has another form has none."""
    entries = _entries(found)
    if isinstance(found, Mapping):
        entries[GLOBAL] = found.get("global")
    return {name: entry.get("params") for name, entry in entries.items() if isinstance(entry, Mapping)}


def settings_of(config: BestConfig) -> dict[str, str]:
    """Return the settings that stand for a winner's parameters, numbers as their shortest decimals."""
    return {
        TABLE[field].name: _text(getattr(config.params, name)) for name, fields in SETTINGS.items() for field in fields
    }


def global_settings(found: Any) -> dict[str, str]:
    """Return the settings that put ``global`` of a document in force; none where it has no such part.

    Raises ParamsError for a value that a setting does not take.
    """
    entry = _mapping((), found).get("global")
    path = ("global", "params")
    params = _mapping(path, _mapping(path[:1], entry).get("params"))
    texts: dict[str, str] = {}
    for name in SETTINGS:
        if name in params:
            texts |= _checked(name, params[name], (*path, name))
    return texts


def edited(text: str, values: Mapping[str, str]) -> str:
    """Return a settings file with some names set; all else stays as it is, comments behind the values included.

    Of a name that is assigned twice, the last assignment is edited, as it is the one that counts. Missing names follow
    at the end. Raises UsageError for a value that no line can hold.
    """
    for name, value in values.items():
        text = _with(text, name, value)
    return text


def _fault(figure: str, value: float | None, bound: str) -> str:
    if value is None:
        return f"its {figure} is not known, and may be {bound}"
    return f"its {figure} of {shortest(value)} is {bound}"


def _entry(config: BestConfig, now: int) -> dict[str, Any]:
    params = {
        part.name: value
        for part in msgspec.structs.fields(Params)
        if (value := getattr(config.params, part.name)) != part.default or part.name in _FROM_SETTINGS
    }
    return {
        "params": params,
        "param_key": config.param_key,
        "summary": {name: getattr(config.summary, name) for name in _FIGURES},
        "promoted_ts": now,
    }


def _entries(found: Any) -> dict[str, Any]:
    inside = found.get("instruments") if isinstance(found, Mapping) else None
    return {str(name): entry for name, entry in inside.items()} if isinstance(inside, Mapping) else {}


def _older(entry: dict[str, Any], before: Any) -> Any:
    alike = isinstance(before, Mapping) and {**before, "promoted_ts": entry["promoted_ts"]} == entry
    return before if alike else entry


def _mapping(path: tuple[str, ...], value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ParamsError(path, "must hold names with values.")
    return value


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else shortest(value)


def _checked(name: str, value: Any, path: tuple[str, ...]) -> dict[str, str]:
    """Return the settings of a parameter, each seen to take the value."""
    try:
        text = _text(live_params.checked(name, value))
    except msgspec.ValidationError as error:
        raise ParamsError(path, f"cannot be {value!r}: {str(error).partition(' - at')[0]}.") from error
    for field in SETTINGS[name]:
        setting = TABLE[field]
        try:
            setting.kind.parse(text)
        except ValueError as error:
            raise ParamsError(path, f"cannot be {value!r}: {setting.name} must be {setting.accepts}.") from error
    return {TABLE[field].name: text for field in SETTINGS[name]}


def _with(text: str, name: str, value: str) -> str:
    entry = env_file.parse(text).entries.get(name)
    if entry is None:
        return _appended(text, f"{name}={_written(name, value)}")
    if entry.value == value:
        return text
    lines = text.split("\n")
    lines[entry.line - 1] = _replaced(lines[entry.line - 1], _written(name, value))
    return "\n".join(lines)


def _appended(text: str, line: str) -> str:
    end = "\r\n" if text[: text.rfind("\n") + 1].endswith("\r\n") else "\n"
    return f"{text}{'' if not text or text.endswith(chr(10)) else end}{line}{end}"


def _replaced(line: str, written: str) -> str:
    """Return an assignment with another value between its head and what follows the value."""
    body = line.rstrip()
    rest = body.partition("=")[2].lstrip()
    head = body[: len(body) - len(rest)]
    tail = rest[_value_end(rest) :] + line[len(body) :]
    return f"{head}{written}{' ' if tail.startswith('#') else ''}{tail}"


def _value_end(rest: str) -> int:
    quoted = _QUOTED.match(rest)
    if quoted:
        return quoted.end()
    comment = _COMMENT.search(rest)
    return len(rest[: comment.start()].rstrip() if comment else rest)


def _written(name: str, value: str) -> str:
    """Return a value as it has to stand in a line: as it is, or in the quotes that it needs."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    for form in (value, f"'{value}'", f'"{escaped}"'):
        found = env_file.parse(f"{name}={form}")
        if not found.faults and name in found.entries and found.entries[name].value == value:
            return form
    raise UsageError(f"{name} cannot be written to a settings file; take a name and a value without line breaks.")
