"""YAML, written so that a person can read it, and read without running anything that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent
from ruamel.yaml.nodes import MappingNode
from ruamel.yaml.reader import ReaderError

from hotbandd.errors import InputError

LONGEST: Final = 262_144
"""Bytes of a document."""
LONGEST_VALUE: Final = 1000
"""Characters of one value."""
DEEPEST: Final = 24
"""Levels of lists and mappings within one another."""
MOST: Final = 20_000
"""Values in a document."""

_WIDE: Final = 1_000_000  # no line is folded


def dump(document: Mapping[str, Any]) -> bytes:
    """Return a document as block-style YAML, keys in their order, numbers as they read back."""
    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = False
    yaml.width = _WIDE
    written = BytesIO()
    yaml.dump(document, written)
    return written.getvalue()


def load(data: bytes) -> Any:
    """Return what YAML holds, None where it holds nothing. Raises InputError with the line that is at fault.

    Safe types alone, within LONGEST bytes, DEEPEST levels, and MOST values once every alias stands for what it names.
    """
    if len(data) > LONGEST:
        raise InputError(f"line 1: it is not ours to read ({len(data)} bytes; {LONGEST} at most); split it.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"line {_line(data, error.start)}: it is not UTF-8 text; write it anew.") from error
    try:
        _bounded(text)
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(error.problem or error.context).split())
        raise InputError(f"line {mark.line + 1 if mark else 1}: it is not YAML ({problem}); mend it.") from error
    except ReaderError as error:
        line = _line(data, len(text[: error.position].encode()))
        raise InputError(f"line {line}: it is not YAML (it holds a character that none may); mend it.") from error
    except (YAMLError, RecursionError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        # What the library's constructors raise where a tag promises another value than there is.
        raise InputError(f"line 1: it is not YAML ({str(error).partition(chr(10))[0][:200]}); mend it.") from error


def line_of(data: bytes, path: Iterable[str]) -> int:
    """Return the line of the last key of a path that is there, counted from 1, in YAML that ``load`` takes."""
    node: Any = YAML(typ="safe", pure=True).compose(data.decode())
    line = 1
    for part in path:
        pairs = node.value if isinstance(node, MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _bounded(text: str) -> None:
    """Refuse what would take ages or all memory, before anything is built of it."""
    open_at = [0]  # for each level, how many values there were when it began
    names: list[str | None] = [None]
    sizes: dict[str, int] = {}
    values = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        values += 1
        if isinstance(event, AliasEvent):
            values += sizes.get(event.anchor, 0)
            if event.anchor in names:
                raise _refused(event, "a value that holds itself")
        elif isinstance(event, CollectionStartEvent):
            open_at.append(values)
            names.append(event.anchor)
        elif isinstance(event, CollectionEndEvent):
            name = names.pop()
            began = open_at.pop()
            if name is not None:
                sizes[name] = values - began
        elif isinstance(event, ScalarEvent) and len(event.value) > LONGEST_VALUE:
            raise _refused(event, f"a value of more than {LONGEST_VALUE} characters")
        if len(names) > DEEPEST:
            raise _refused(event, f"more than {DEEPEST} levels")
        if values > MOST:
            raise _refused(event, f"more than {MOST} values, aliases written out")


def _refused(event: Any, what: str) -> InputError:
    return InputError(f"line {event.start_mark.line + 1}: it is not ours to read ({what}); write it plainly.")


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
