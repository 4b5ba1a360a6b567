"""The settings file to start from, written from the table."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent
from typing import Final

from hotbandd.settings.declaration import Derived, Setting
from hotbandd.settings.table import TABLE

_HEAD: Final = dedent("""\
    # Settings of hotband. Copy to .env.hotband in HOTBAND_HOME, and uncomment what should differ.
    # Each line shows the default. The process environment goes before this file.
    """)
SECTIONS: Final = {
    "pairs": "The daemon",
    "oanda_api_key": "Candles, and what is kept",
    "eval_interval_sec": "Evaluation and gates",
    "auto_min_coherence": "Strategy, guards and costs",
    "session_trading_enabled": "Sessions and repetition",
    "alloc_interval_sec": "Allocation",
    "trials_max_combinations": "Trials, deployment and logs",
}


def example() -> str:
    """Return the example file: every setting with its meaning, range and default, commented out."""
    return _HEAD + "".join(_lines())


def _lines() -> Iterator[str]:
    for field, setting in TABLE.items():
        if field in SECTIONS:
            yield f"\n# --- {SECTIONS[field]} ---\n"
        yield f"\n{_comment(setting)}\n#{setting.name}={_default(setting)}\n"


def _comment(setting: Setting) -> str:
    derived = f" Default: {setting.default_text}." if isinstance(setting.default, Derived) else ""
    return f"# {setting.help}\n# Accepts {setting.accepts}.{derived}"


def _default(setting: Setting) -> str:
    return "" if isinstance(setting.default, Derived) else setting.default
