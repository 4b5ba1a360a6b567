"""Kinds of values: how each is written, what it may be, and how it is shown.

A parser raises ValueError with a clause that says what is wrong with the text; that of a secret never repeats it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeVar

from hotbandd.errors import UsageError
from hotbandd.settings.instruments import instrument, parse_pairs
from hotbandd.settings.secret import Secret, masked_url
from hotbandd.settings.valkey_url import ACCEPTED as VALKEY_URLS
from hotbandd.settings.valkey_url import check as check_valkey_url

T = TypeVar("T")
Word = TypeVar("Word", bound=str)
Threshold = float | str

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9]{1,3})?")
_PERCENTILE: Final = re.compile(r"p([0-9]{1,2}(\.[0-9]{1,6})?|100)")
_STRATEGY: Final = re.compile(r"[a-z][a-z0-9_]*")
_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*://[\x21-\x7e]+")
_BETWEEN_URLS: Final = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9]*://)")
_LONGEST_JSON: Final = 65_536


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of value. ``accepts`` completes "must be …"."""

    accepts: str
    parse: Callable[[str], T]
    show: Callable[[T], str] = str
    secret: bool = False


class Address(NamedTuple):
    """Where a server listens; an IPv6 host stands without its brackets."""

    host: str
    port: int


def number_text(value: float) -> str:
    """Return the shortest decimal that reads back as the same number."""
    text = repr(value)
    return text.removesuffix(".0")


def whole(low: int, high: int) -> Kind[int]:
    """Accept whole numbers from low to high."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            _refuse(text)
        return int(text)

    return Kind(f"a whole number from {low} to {high}", parse)


def number(low: float, high: float, note: str = "") -> Kind[float]:
    """Accept finite numbers from low to high."""

    def parse(text: str) -> float:
        if not _NUMBER.fullmatch(text) or not low <= float(text) <= high:
            _refuse(text)
        return float(text)

    return Kind(f"a number from {number_text(low)} to {number_text(high)}{note}", parse, number_text)


def share() -> Kind[float]:
    """Accept fractions of one."""
    return number(0, 1, note=" (0.3 is 30 %)")


def threshold() -> Kind[Threshold]:
    """Accept a bound of a metric: a number from 0 to 1, or a percentile of the instrument's own past."""
    absolute = number(0, 1)

    def parse(text: str) -> Threshold:
        return text if _PERCENTILE.fullmatch(text) else absolute.parse(text)

    def show(value: Threshold) -> str:
        return value if isinstance(value, str) else number_text(value)

    return Kind(f"{absolute.accepts}, or a percentile from p0 to p100", parse, show)


def flag() -> Kind[bool]:
    """Accept 0 or 1."""

    def parse(text: str) -> bool:
        if text not in {"0", "1"}:
            _refuse(text)
        return text == "1"

    return Kind("0 or 1", parse, lambda value: "1" if value else "0")


def choice(*words: Word) -> Kind[Word]:
    """Accept one of some words, in either case."""

    def parse(text: str) -> Word:
        found = next((word for word in words if word == text.lower()), None)
        return _refuse(text) if found is None else found

    return Kind(" or ".join(words), parse)


def pairs() -> Kind[tuple[str, ...]]:
    """Accept a list of instruments."""

    def parse(text: str) -> tuple[str, ...]:
        try:
            return parse_pairs(text)
        except UsageError as error:
            raise ValueError(str(error).rstrip(".")) from error

    return Kind("instruments such as EUR_USD, separated by commas", parse, ",".join)


def text(accepts: str, pattern: re.Pattern[str] | None = None) -> Kind[str]:
    """Accept any text, or what a pattern matches in whole."""

    def parse(value: str) -> str:
        if pattern is not None and not pattern.fullmatch(value):
            _refuse(value)
        return value

    return Kind(accepts, parse)


def path() -> Kind[str]:
    """Accept the path of a file or directory."""
    return text("a path", re.compile(r"[^\0]+"))


def account_id() -> Kind[str]:
    """Accept the identifier of an OANDA account; it becomes part of a URL."""
    return text("an account such as 101-004-1234567-001", re.compile(r"[A-Za-z0-9-]+"))


def granularity() -> Kind[str]:
    """Accept the one granularity that the kernels are made for."""
    return text("M1", re.compile("M1"))


def strategy() -> Kind[str]:
    """Accept the name of a strategy; whether there is one of that name, the strategies know."""
    return text("the name of a strategy, such as combined", _STRATEGY)


def source() -> Kind[str]:
    """Accept the name of a candle source."""
    return text(
        "oanda, simulated, or replay: with a directory, as in replay:/srv/candles",
        re.compile(r"oanda|simulated|replay:\S.*"),
    )


DASK: Final = "dask:"


def compute() -> Kind[str]:
    """Accept where kernels run."""

    def parse(value: str) -> str:
        if value.lower() in {"process", "inline", f"{DASK}local"}:
            return value.lower()
        if not value.startswith(f"{DASK}//"):
            _refuse(value)
        parse_address(value.removeprefix(f"{DASK}//"))
        return value

    return Kind(f"process, inline, {DASK}local or {DASK}//HOST:PORT", parse)


def address() -> Kind[str]:
    """Accept host:port; see ``parse_address``."""

    def parse(value: str) -> str:
        parse_address(value)
        return value

    return Kind("host:port, such as 127.0.0.1:8100 or [::1]:8100", parse)


def parse_address(value: str) -> Address:
    """Split host:port. Raises ValueError."""
    found = _ADDRESS.fullmatch(value)
    if found is None or int(found["port"]) > 65_535:
        _refuse(value)
    return Address(found["host"].strip("[]"), int(found["port"]))


def secret() -> Kind[Secret]:
    """Accept a secret: printable ASCII, since it travels in headers."""

    def parse(value: str) -> Secret:
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("it holds a blank, a control character or a letter beyond ASCII")
        return Secret(value)

    return Kind("printable ASCII without blanks", parse, secret=True)


def receivers() -> Kind[tuple[Secret, ...]]:
    """Accept addresses that messages go to. They carry tokens, so that no message repeats one."""

    def parse(value: str) -> tuple[Secret, ...]:
        parts = _BETWEEN_URLS.split(value.strip())
        for number, part in enumerate(parts, 1):
            if not _URL.fullmatch(part):
                raise ValueError(f"number {number} of them is no address such as json://HOST:PORT/PATH")
        return tuple(map(Secret, parts))

    def show(value: tuple[Secret, ...]) -> str:
        return " ".join(map(str, value))

    return Kind("addresses as apprise writes them, with blanks between them", parse, show, secret=True)


def choices(*words: str) -> Kind[frozenset[str]]:
    """Accept some of some words."""

    def parse(value: str) -> frozenset[str]:
        chosen = [part.strip() for part in value.split(",")]
        for word in chosen:
            if word not in words:
                _refuse(word)
        return frozenset(chosen)

    def show(value: frozenset[str]) -> str:
        return ",".join(word for word in words if word in value)

    return Kind(f"some of {', '.join(words)}, separated by commas", parse, show)


def valkey_url() -> Kind[str]:
    """Accept the URL of a Valkey server; see ``valkey_url.check``. It may carry a password, so that no message repeats it."""

    def parse(value: str) -> str:
        check_valkey_url(value)
        return value

    return Kind(VALKEY_URLS, parse, masked_url, secret=True)


def numbers_by_instrument(low: float, high: float) -> Kind[Mapping[str, float]]:
    """Accept a JSON object of numbers by instrument."""

    def parse(value: str) -> Mapping[str, float]:
        return {_key(name): _bounded(name, found, low, high) for name, found in _decode_object(value).items()}

    bounds = f"from {number_text(low)} to {number_text(high)}"
    return Kind(f'a JSON object of numbers {bounds} by instrument, such as {{"EUR_USD":0.12}}', parse, _json_text)


def json_object() -> Kind[Mapping[str, Any]]:
    """Accept any JSON object; its reader knows what it may hold."""
    return Kind("a JSON object", _decode_object, _json_text)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Accept also nothing: an empty text."""

    def show(value: T | None) -> str:
        return "" if value is None else kind.show(value)

    return Kind(f"{kind.accepts}, or empty", lambda value: kind.parse(value) if value else None, show, kind.secret)


def _refuse(value: str) -> NoReturn:
    raise ValueError(f"{value[:60]!r} is not" if value else "it is empty")


def _key(name: str) -> str:
    try:
        return instrument(name)
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from error


def _bounded(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"the value of {name} is not")
    return float(value)


def _decode_object(value: str) -> Mapping[str, Any]:
    if len(value) > _LONGEST_JSON:
        raise ValueError(f"it is longer than {_LONGEST_JSON} characters")
    try:
        found = json.loads(value, object_pairs_hook=_unique, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        _refuse(value)
    return found


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a name in it comes twice")
    return found


def _json_text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
