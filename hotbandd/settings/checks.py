"""Rules between settings, and what is allowed but should be known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from hotbandd.settings.kinds import parse_address
from hotbandd.settings.secret import Secret

_BUFFER_MAX: Final = 0.30
_DECISION_DAYS: Final = 30
_TOKEN_LENGTH: Final = 16


class Rule(NamedTuple):
    """A rule: the fields that it looks at, whether it is broken (its arguments are theirs), and what to say then."""

    fields: tuple[str, ...]
    broken: Callable[..., bool]
    message: str


def _scoreless(*weights: float) -> bool:
    return not any(weights)


def _open_to_others(http: str) -> bool:
    host = parse_address(http).host
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _outside_buffers(value: float) -> bool:
    return not 0 <= value <= _BUFFER_MAX


def _short(token: Secret | None) -> bool:
    return token is not None and len(token.reveal()) < _TOKEN_LENGTH


FAULTS: Final = (
    Rule(
        ("alloc_w_c", "alloc_w_stab", "alloc_w_rup", "alloc_w_ent"),
        _scoreless,
        "One of ALLOC_W_C, ALLOC_W_STAB, ALLOC_W_RUP and ALLOC_W_ENT must be above 0; without a score there are no weights.",
    ),
    Rule(
        ("candle_hot_days", "candle_retention_days"),
        lambda hot, kept: kept < hot,
        "CANDLE_RETENTION_DAYS must not be below CANDLE_HOT_DAYS; leave it out to keep no candles beyond those.",
    ),
)

SOURCE_FAULTS: Final = (
    Rule(
        ("source", "oanda_api_key"),
        lambda source, key: source == "oanda" and key is None,
        "HOTBAND_SOURCE=oanda needs OANDA_API_KEY (or OANDA_API_KEY_FILE); set one, or HOTBAND_SOURCE=simulated to try without.",
    ),
)

WARNINGS: Final = (
    Rule(
        ("strands_c_min",),
        lambda value: value is not None,
        "STRANDS_C_MIN is accepted, but without effect; AUTO_MIN_COHERENCE is what bounds entries.",
    ),
    Rule(
        ("http",),
        _open_to_others,
        "HOTBAND_HTTP listens beyond this machine; whoever reaches it can read all but secrets.",
    ),
    Rule(
        ("http_token",), _short, f"HOTBAND_HTTP_TOKEN is shorter than {_TOKEN_LENGTH} characters, and can be guessed."
    ),
    Rule(
        ("decision_lag_sec", "eval_interval_sec", "alloc_interval_sec"),
        lambda lag, evaluation, allocation: lag >= min(evaluation, allocation),
        "DECISION_LAG_SEC is not shorter than EVAL_INTERVAL_SEC and ALLOC_INTERVAL_SEC; decisions run after the next slot began.",
    ),
    Rule(
        ("gates_blob_max_age_sec", "eval_interval_sec"),
        lambda age, interval: age <= interval,
        "GATES_BLOB_MAX_AGE_SEC is not above EVAL_INTERVAL_SEC; the gates expire before they are renewed.",
    ),
    Rule(
        ("pm_max_per_pos_pct", "risk_alloc_target_pct"),
        lambda cap, target: cap > target,
        "PM_MAX_PER_POS_PCT is above RISK_ALLOC_TARGET_PCT, and so never bounds a weight.",
    ),
    Rule(
        ("candle_retention_days",),
        lambda days: days < _DECISION_DAYS,
        f"CANDLE_RETENTION_DAYS is below {_DECISION_DAYS}; the history never suffices, and no gate opens.",
    ),
    Rule(("hysteresis_default",), _outside_buffers, "HYSTERESIS_DEFAULT is clamped to 0 ... 0.3."),
    Rule(
        ("hysteresis_pair_json",),
        lambda buffers: any(map(_outside_buffers, buffers.values())),
        "HYSTERESIS_PAIR_JSON holds values that are clamped to 0 ... 0.3.",
    ),
)


def broken(rules: tuple[Rule, ...], values: Mapping[str, Any]) -> list[str]:
    """Return the messages of the rules that are broken, of those whose fields are all known."""
    return [
        rule.message
        for rule in rules
        if all(name in values for name in rule.fields) and rule.broken(*(values[name] for name in rule.fields))
    ]
