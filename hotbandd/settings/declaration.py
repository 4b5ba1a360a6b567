"""What the declaration of one setting holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar, cast

from hotbandd.settings.kinds import Kind

T = TypeVar("T")
METADATA: Final = "setting"


class Derived(NamedTuple):
    """A default that depends on other settings: how to say it, the fields that it needs, and how it comes from them."""

    text: str
    needs: tuple[str, ...]
    of: Callable[..., Any]


@dataclass(frozen=True)
class Setting:
    """One setting: its environment name, and what is known of it. ``default`` is written as it would be in the file."""

    name: str
    kind: Kind[Any]
    default: str | Derived
    help: str
    unit: str

    @property
    def accepts(self) -> str:
        """What a value may be, with its unit; completes "must be …"."""
        return f"{self.kind.accepts}, in {self.unit}" if self.unit else self.kind.accepts

    @property
    def default_text(self) -> str:
        """The default, for people."""
        return self.default.text if isinstance(self.default, Derived) else self.default


def setting(name: str, kind: Kind[T], default: str | Derived, meaning: str, unit: str = "") -> T:
    """Declare a field of the settings whose type is that of its kind."""
    return cast(T, field(metadata={METADATA: Setting(name, kind, default, meaning, unit)}))
