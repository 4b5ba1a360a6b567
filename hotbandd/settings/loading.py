"""Settings from texts: the environment before the file, the file before the defaults; every fault in one message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple

from hotbandd.errors import SettingsError
from hotbandd.settings import checks, env_file
from hotbandd.settings.declaration import Derived, Setting
from hotbandd.settings.table import TABLE, Settings

Origin = Literal["environment", "file", "credential", "default"]

OWN_PREFIX: Final = "HOTBAND_"
PREFIXES: Final = tuple(sorted({setting.name.partition("_")[0] + "_" for setting in TABLE.values()}))
"""First words of our names: in our file, an unknown name that begins with one is a mistake."""

_NAMES: Final = tuple(setting.name for setting in TABLE.values())
_NEAR: Final = 0.6
_VERY_NEAR: Final = 0.85


class Credentials(NamedTuple):
    """Secrets from files of their own, by environment name, and the files that cannot be read."""

    values: Mapping[str, str]
    faults: Sequence[str]


class Loaded(NamedTuple):
    """Settings, what should be known about them, and where each environment name's value comes from."""

    settings: Settings
    warnings: list[str]
    sources: Mapping[str, Origin]


_NONE: Final = Credentials({}, ())


class _Given(NamedTuple):
    text: str
    origin: Origin
    place: str


def load(
    environ: Mapping[str, str],
    env_file_text: str | None,
    *,
    credentials: Credentials = _NONE,
    source_needed: bool = False,
) -> Loaded:
    """Build the settings.

    ``source_needed``: whether candles will be fetched, so that the source and the credentials have to be complete; what works without
    them, such as the kill switch, must not fail for them. Raises SettingsError with every fault on a line of its own.
    """
    file = env_file.parse(env_file_text or "")
    given = {name: found for name in _NAMES if (found := _given(name, environ, file.entries, credentials.values))}
    faults = [*file.faults, *_unknown_in_file(file.entries), *_unknown_in_environment(environ)]
    values = dict(_values(given, faults))
    faults += checks.broken(checks.FAULTS, values)
    if source_needed:
        faults += [*credentials.faults, *checks.broken(checks.SOURCE_FAULTS, values)]
    if faults:
        raise SettingsError("\n".join(faults))
    sources: dict[str, Origin] = {name: given[name].origin if name in given else "default" for name in _NAMES}
    near = _nearly_ours([*environ, *file.entries])
    warnings = [*file.warnings, *near, *credentials.faults, *checks.broken(checks.WARNINGS, values)]
    return Loaded(Settings(**values), warnings, sources)


def _given(
    name: str, environ: Mapping[str, str], entries: Mapping[str, env_file.Entry], credentials: Mapping[str, str]
) -> _Given | None:
    """Return the text of a setting; an empty one, as examples and compose files have it, does not hide a credential."""
    if name in credentials and not (environ.get(name, "").strip() or (name in entries and entries[name].value)):
        return _Given(credentials[name], "credential", "in its credential file")
    if name in environ:
        return _Given(environ[name].strip(), "environment", "in the environment")
    if name in entries:
        return _Given(entries[name].value, "file", f"in line {entries[name].line} of the settings file")
    return None


def _values(given: Mapping[str, _Given], faults: list[str]) -> Iterator[tuple[str, Any]]:
    """Iterate over field names and values, defaults that depend on others last; faulty ones become faults."""
    plain: dict[str, Any] = {}
    for field, setting in TABLE.items():
        found = given.get(setting.name)
        if found is None and isinstance(setting.default, Derived):
            continue
        try:
            plain[field] = setting.kind.parse(setting.default_text if found is None else found.text)
        except ValueError as error:
            faults.append(_fault(setting, str(error), found))
    yield from plain.items()
    for field, setting in TABLE.items():
        default = setting.default
        if setting.name not in given and isinstance(default, Derived) and all(name in plain for name in default.needs):
            yield field, default.of(*(plain[name] for name in default.needs))


def _fault(setting: Setting, complaint: str, found: _Given | None) -> str:
    place = f" ({found.place})" if found else ""
    return f"{setting.name}{place} must be {setting.accepts}: {complaint}."


def _unknown_in_file(entries: Mapping[str, env_file.Entry]) -> Iterator[str]:
    for name, entry in entries.items():
        if name not in _NAMES and name.startswith(PREFIXES):
            yield f"{name} (in line {entry.line} of the settings file) is no setting{_hint(name)}"


def _unknown_in_environment(environ: Mapping[str, str]) -> Iterator[str]:
    for name in environ:
        if name not in _NAMES and name.startswith(OWN_PREFIX):
            yield f"{name} (in the environment) is no setting{_hint(name)}"


def _nearly_ours(names: Iterable[str]) -> Iterator[str]:
    """Iterate over warnings about names that are not ours, but look as if they were meant to be."""
    for name in dict.fromkeys(names):
        if name not in _NAMES and (near := _nearest(name, _VERY_NEAR)):
            yield f"{name} is no setting, and is ignored; {near} is."


def _hint(name: str) -> str:
    near = _nearest(name, _NEAR)
    return f"; did you mean {near}?" if near else "."


def _nearest(name: str, least: float) -> str | None:
    return next(iter(get_close_matches(name.upper(), _NAMES, n=1, cutoff=least)), None)
