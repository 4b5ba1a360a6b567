"""The settings file: ``KEY=VALUE`` lines, as shells, systemd and compose read them.

A line may begin with ``export``. A value may stand in single quotes (taken as it is) or in double ones (a backslash escapes
a quote or a backslash); outside of quotes a ``#`` at its start or after a blank begins a comment.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LINE: Final = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<rest>.*)", re.DOTALL)
_SINGLE: Final = re.compile(r"'(?P<value>[^']*)'\s*(?:#.*)?")
_DOUBLE: Final = re.compile(r'"(?P<value>(?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_COMMENT: Final = re.compile(r"(?:^|\s)#")
_ESCAPED: Final = re.compile(r'\\(["\\])')


class Entry(NamedTuple):
    """A value, and the number of its line."""

    value: str
    line: int


class EnvFile(NamedTuple):
    """What a settings file says: the last value of each name, lines that cannot be read, names that come again."""

    entries: dict[str, Entry]
    faults: list[str]
    warnings: list[str]


def parse(content: str) -> EnvFile:
    """Read a settings file. No message repeats a line, since it may hold a secret."""
    found = EnvFile({}, [], [])
    for number, raw in enumerate(content.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        matched = _LINE.fullmatch(line)
        value = None if matched is None or "\0" in line else _value(matched["rest"])
        if matched is None or value is None:
            found.faults.append(f"Line {number} of the settings file must be NAME=VALUE, with every quote closed.")
            continue
        name = matched["name"]
        if name in found.entries:
            first = found.entries[name].line
            found.warnings.append(
                f"{name} stands in lines {first} and {number} of the settings file; the last one counts."
            )
        found.entries[name] = Entry(value, number)
    return found


def _value(rest: str) -> str | None:
    if rest.startswith("'"):
        single = _SINGLE.fullmatch(rest)
        return single["value"] if single else None
    if rest.startswith('"'):
        double = _DOUBLE.fullmatch(rest)
        return _ESCAPED.sub(r"\1", double["value"]) if double else None
    comment = _COMMENT.search(rest)
    return rest[: comment.start()].rstrip() if comment else rest
