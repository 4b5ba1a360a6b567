"""YAML, written so that a person can read it, and read without running anything that it names."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from hotbandd.errors import InputError

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
    """Return what YAML holds, None where it holds nothing. Raises InputError with the line that is at fault."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"line {_line(data, error.start)}: it is not UTF-8 text; write it anew.") from error
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"line {line}: it is not YAML ({' '.join(str(error.problem).split())}); mend it.") from error
    except ReaderError as error:
        line = _line(data, len(text[: error.position].encode()))
        raise InputError(f"line {line}: it is not YAML (it holds a character that none may); mend it.") from error
    except (YAMLError, RecursionError, ValueError, ArithmeticError, LookupError) as error:
        raise InputError(f"line 1: it is not YAML ({str(error).partition(chr(10))[0]}); mend it.") from error


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1
