"""The reference, made from the code: ``python -m docs.reference`` writes it, a test holds it up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from hotbandd.adapters import yaml_text
from hotbandd.adapters.http.endpoints import ENDPOINTS
from hotbandd.adapters.metrics import PrometheusTelemetry
from hotbandd.adapters.store import asyncapi, keys
from hotbandd.cli.app import app
from hotbandd.settings import TABLE
from hotbandd.settings.example import SECTIONS

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- Made by `python -m docs.reference`; do not edit. -->\n"
CHANNELS = FOLDER.with_name("asyncapi.yaml")
INST = "{inst}"


class Key(NamedTuple):
    """A key or channel: its pattern, what it is in Valkey, how long it lives, what it holds, who writes and who reads it."""

    pattern: str
    type: str
    expiry: str
    holds: str
    writers: str
    readers: str


KEYS: tuple[Key, ...] = (
    Key(keys.candles(INST, "{gran}"), "zset, score open time", "`CANDLE_HOT_DAYS`, up to two more until packed", "candles, one per minute", "hydrator, `warmup`", "all"),
    Key(keys.packed_candles(INST, "{gran}"), "hash, field `YYYY-MM-DD`", "`CANDLE_RETENTION_DAYS`", "older candles, one packed value per day", "hydrator, `warmup`", "hotband"),
    Key(keys.manifold(INST), "string", "300 s", "the newest manifold", "hydrator, `warmup`", "allocator, page, dashboards"),
    Key(keys.MANIFOLD_CHANNEL, "channel", "", "each new manifold", "hydrator", "subscribers"),
    Key(keys.manifold_history(INST), "zset, score ts", "trimmed to 24 h", "signature, C, S, H, R, lambda of each minute", "hydrator", "evaluator, allocator, page"),
    Key(keys.signal(INST, 0).replace(":0", ":{ts_ns}"), "hash", "`SIGNAL_RETENTION_DAYS`", "one signal: metrics, price, state", "hydrator, `warmup`", "back-tests, freshness checks"),
    Key(keys.signal_index(INST), "zset, score ts", "`SIGNAL_RETENTION_DAYS`", "keys of the signals", "hydrator, `warmup`", "back-tests"),
    Key(keys.manifold_day(INST, "{YYYY-MM-DD}"), "string, gzip", "35 days", "the manifold document of a day", "`warmup`", "people"),
    Key(keys.summary(INST), "string", "1 h", "the last evaluation: parameters, figures by span, floors, reasons", "evaluator", "page, `explain`, dashboards"),
    Key(keys.evaluations(INST, "{param_key}"), "zset, score ts", "trimmed to 30 days", "trades, calmar, pnl_total of each evaluation", "evaluator", "evaluator"),
    Key(keys.eligible(INST), "string 0 or 1", "`GATES_BLOB_MAX_AGE_SEC`", "the flag of a gate", "evaluator", "kill-switch monitors"),
    Key(keys.gate_state(INST), "string", "none", "passes, fails, misses, eligible, cooldown_until", "evaluator", "evaluator, page"),
    Key(keys.cooldown(INST), "string", "the cooldown", "cooldown_until", "evaluator", "monitors"),
    Key(keys.GATES_BLOB, "string", "`GATES_BLOB_MAX_AGE_SEC`", "all gates with reasons, cooldowns, buffers, guards", "evaluator", "allocator, page, `snapshot`"),
    Key(keys.GATES_CHANNEL, "channel", "", "the same document", "evaluator", "subscribers"),
    Key(keys.WEIGHTS, "string", "none", "the weights", "allocator", "trading service, page, `snapshot`"),
    Key(keys.WEIGHTS_CHANNEL, "channel", "", "the same document", "allocator", "subscribers"),
    Key(keys.ALLOCATOR_STATUS, "string", "2 × `ALLOC_INTERVAL_SEC`", "what the allocator decided, whether it holds, since when and why", "allocator", "page, monitors"),
    Key(keys.TRIAL_PACKS, "zset, score ts", "trimmed to 30 days", "ids of packs of runs, each that of its first run: `{spec_hash}-{inst}-{digest of the param_key}`", "`trials`", "`report`"),
    Key(keys.trial_pack("{pack_id}"), "string", "30 days", "all runs of some sets on an instrument: JSON, gzip", "`trials`", "`report`"),
    Key(keys.TRIAL_INDEX, "zset, score ts", "trimmed to 30 days", "ids of the 100 best runs of each instrument", "`trials`", "`report`"),
    Key(keys.trial_run("{run_id}"), "string", "30 days", "one of them: parameters and figures", "`trials`", "`report`"),
    Key(keys.trial_trades("{run_id}"), "string", "30 days", "its trades", "`trials`", "`report`"),
    Key(keys.TRIAL_LOCK, "string", "60 s, renewed", "who runs trials", "`trials`", "`trials`"),
    Key(keys.trial_progress("{spec_hash}"), "set", "30 days", "finished combinations of a spec, by their packs", "`trials`", "`trials`"),
    Key(keys.best_config(INST), "string", "14 days", "the winner of the trials; `GLOBAL` in the place of an instrument: the best set for all", "`report`", "`promote`"),
    Key(keys.live_config_channel(INST), "channel", "", "promoted parameters", "`promote`", "subscribers"),
    Key(keys.REPORT, "string", "14 days", "the newest report", "`report`", "page"),
    Key(keys.KILL_SWITCH, "string 0 or 1", "none", "the kill switch; missing or unreadable: engaged", "`kill`, HTTP", "allocator"),
    Key(keys.LEADER, "string", "`LEASE_TTL_SEC`", "`holder:epoch` of the daemon that leads", "daemon", "daemons, `status`"),
    Key(keys.EPOCH, "string", "none", "highest epoch", "daemon", "daemons"),
    Key(keys.COUNT, "string", "none", "publications so far; fewer than a daemon knows of: the server lost data", "daemon", "daemon"),
    Key(keys.fence("{document}"), "string", "none", "highest `epoch:seq` published of a document", "daemon", "daemon"),
    Key(keys.EPOCH_IN_CLUSTER, "string", "none", "in a cluster: highest epoch, in the slot of the lease", "daemon", "daemons"),
    Key(keys.fence_in_cluster("{key}"), "string", "none", "in a cluster, in the slot of that key, by its hash tag: `epoch:seq` published there last, and the epoch of who may publish", "daemon", "daemons"),
    Key(keys.DOCUMENTS, "set", "none", "in a cluster: the keys whose fences a new leader raises", "daemon", "daemons"),
    Key(keys.CLOCK, "string", "60 s, renewed", "the anchor of a clock that is not the real one", "`demo`", "readers of ages"),
    Key(keys.DOCTOR, "string", "1 s", "a trial write", "`doctor`", "nobody"),
)  # fmt: skip


def pages() -> Mapping[Path, str]:
    """Return every file of the reference with its content."""
    made: dict[str, Callable[[], str]] = {
        "settings.md": settings,
        "keys.md": stored,
        "metrics.md": metrics,
        "commands.md": commands,
        "http.md": http,
    }
    return {CHANNELS: channels(), **{FOLDER / name: page() for name, page in made.items()}}


def channels() -> str:
    """Return the description of the channels."""
    return "# Made by `python -m docs.reference`; do not edit.\n" + yaml_text.dump(asyncapi.description()).decode()


def settings() -> str:
    """Return the page of the settings."""
    lines = [
        "# Settings",
        "From the process environment, then `.env.hotband` in `HOTBAND_HOME` (or `--env-file`), then the defaults. `hotbandd check-config` shows each one with where it comes from.",
    ]
    rows: list[Sequence[str]] = []
    for field, setting in TABLE.items():
        if field in SECTIONS:
            lines += _table(("name", "default", "accepts", "meaning"), rows)
            lines.append(f"## {SECTIONS[field]}")
            rows = []
        rows.append((f"`{setting.name}`", _code(setting.default_text), setting.accepts, setting.help))
    return _page(lines + _table(("name", "default", "accepts", "meaning"), rows))


def stored() -> str:
    """Return the page of keys and channels."""
    rows = [(f"`{key.pattern}`", key.type, key.expiry or "–", key.holds, key.writers, key.readers) for key in KEYS]
    return _page(
        [
            "# Keys and channels",
            "All in one Valkey. Documents are JSON with `schema` 1 (candles have none); times are UTC in milliseconds unless the name ends in `_ns`. Expiries are divided by the speed of a demo's clock.",
            *_table(("key or channel", "type", "expiry", "holds", "written by", "read by"), rows),
        ]
    )


def metrics() -> str:
    """Return the page of the metrics."""
    rows = [
        (f"`{name}`", kind, ", ".join(labels) or "–", meaning)
        for name, kind, labels, meaning in PrometheusTelemetry(lambda: 0).described()
    ]
    return _page(
        [
            "# Metrics",
            "At `/metrics`, in Prometheus' text format. What was never reported is absent, or NaN where a metric has no labels.",
            *_table(("name", "type", "labels", "meaning"), rows),
        ]
    )


def commands() -> str:
    """Return the page of the commands."""
    root = typer.main.get_command(app)
    lines = ["# Commands", "`hotbandd COMMAND --help` says the same."]
    for words, command in _walk((), root):
        lines.append(f"## `hotbandd {' '.join(words)}`")
        lines.append((command.help or "").strip())
        rows = [_parameter(each) for each in command.params if each.name != "help"]
        lines += _table(("argument or option", "default", "meaning"), rows)
    return _page(lines)


def http() -> str:
    """Return the page of the HTTP interface."""
    rows = [
        (f"{each.method} `{each.path}`", ", ".join(each.fields) or "–", "bearer token" if each.secured else "–", each.summary)
        for each in ENDPOINTS
    ]  # fmt: skip
    return _page(
        [
            "# HTTP",
            "At `HOTBAND_HTTP`. `/openapi.json` describes every answer.",
            *_table(("path", "fields", "needs", "answers"), rows),
        ]
    )


def _walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name in sorted(inner):
        yield from _walk((*words, name), inner[name])


def _parameter(parameter: Any) -> Sequence[str]:
    if parameter.param_type_name == "argument":
        given = parameter.name.upper() if parameter.required else f"[{parameter.name.upper()}]"
    else:
        given = ", ".join(parameter.opts)
    return f"`{given}`", _default(parameter.default), getattr(parameter, "help", None) or ""


def _default(value: Any) -> str:
    missing = value is None or value is False or callable(value) or type(value).__name__ == "Sentinel"
    return "–" if missing else _code(str(value))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [_row(row) for row in rows]
    return ["\n".join([_row(head), "|" + "---|" * len(head), *lines])] if lines else []


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`{text}`" if text else "–"


def _page(blocks: Iterable[str]) -> str:
    return MADE + "\n\n".join(blocks) + "\n"


def main() -> None:
    """Write the reference."""
    for path, content in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


if __name__ == "__main__":
    main()
