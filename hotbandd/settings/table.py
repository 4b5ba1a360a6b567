"""All settings, declared once: name, kind, default, unit and meaning.

Loading, checking, documentation and the example file all read this table.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, NamedTuple, cast

from hotbandd.settings import kinds
from hotbandd.settings.declaration import METADATA, Derived, Setting, setting
from hotbandd.settings.instruments import DEFAULT_PAIRS
from hotbandd.settings.kinds import Address, Threshold
from hotbandd.settings.secret import Secret, url_passwords, url_tokens

_DAYS_AT_MOST: Final = 3650
_DAY_SEC: Final = 86_400
NOTIFY_ON: Final = ("gates", "kill_switch", "holding", "health", "leader")


class Source(NamedTuple):
    """Where candles come from; a directory only for ``replay``."""

    name: Literal["oanda", "replay", "simulated"]
    directory: str | None


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """Every setting as a value. Only ``load`` builds one, so that none of them escapes its checks."""

    pairs: tuple[str, ...] = setting(
        "HOTBAND_PAIRS", kinds.pairs(), ",".join(DEFAULT_PAIRS), "Instruments to follow, separated by commas."
    )
    home: str = setting("HOTBAND_HOME", kinds.path(), ".", "Directory of all files, this one included.")
    source: str = setting("HOTBAND_SOURCE", kinds.source(), "oanda", "Where candles come from.")
    kernel: Literal["calibrated", "native"] = setting(
        "HOTBAND_KERNEL", kinds.choice("calibrated", "native"), "calibrated", "Family of the metrics."
    )
    strategy: str = setting("HOTBAND_STRATEGY", kinds.strategy(), "combined", "Direction rule that is back-tested.")
    processing_interval: float = setting(
        "HOTBAND_PROCESSING_INTERVAL", kinds.number(0.1, 300), "10", "How often candles are fetched and measured.", "s"
    )
    workers: int = setting(
        "HOTBAND_WORKERS",
        kinds.whole(1, 256),
        Derived("cores - 1, at least 1", (), lambda: max(1, _usable_cores() - 1)),
        "Processes that compute.",
    )
    worker_memory_mb: int = setting(
        "HOTBAND_WORKER_MEMORY_MB",
        kinds.whole(64, 1_000_000),
        "1024",
        "Most that one of them may hold after a task; then they are replaced.",
        "MB",
    )
    compute: str = setting(
        "HOTBAND_COMPUTE",
        kinds.compute(),
        "process",
        "Compute in processes, in the daemon itself, or on Dask: on this machine, or on the workers of a scheduler.",
    )
    http: str = setting("HOTBAND_HTTP", kinds.address(), "127.0.0.1:8100", "Address of the HTTP server.")
    http_token: Secret | None = setting(
        "HOTBAND_HTTP_TOKEN", kinds.optional(kinds.secret()), "", "Bearer token of what needs one; empty: that is off."
    )
    valkey_url: str | None = setting(
        "VALKEY_URL", kinds.optional(kinds.valkey_url()), "", "Valkey server; empty: an embedded one in HOTBAND_HOME."
    )
    lease_ttl_sec: float = setting(
        "LEASE_TTL_SEC", kinds.number(0.2, 300), "15", "How long a leader that fell silent keeps the lease.", "s"
    )

    notify_urls: tuple[Secret, ...] | None = setting(
        "HOTBAND_NOTIFY_URLS", kinds.optional(kinds.receivers()), "", "Who is told of changes of state; empty: nobody."
    )
    notify_every_sec: float = setting(
        "HOTBAND_NOTIFY_EVERY_SEC",
        kinds.number(1, 86_400),
        "60",
        "One message at most per this time, with all changes.",
        "s",
    )
    notify_on: frozenset[str] = setting(
        "HOTBAND_NOTIFY_ON", kinds.choices(*NOTIFY_ON), ",".join(NOTIFY_ON), "Changes that are told."
    )

    oanda_api_key: Secret | None = setting(
        "OANDA_API_KEY", kinds.optional(kinds.secret()), "", "Token of the OANDA account. Better: OANDA_API_KEY_FILE."
    )
    oanda_api_key_file: str | None = setting(
        "OANDA_API_KEY_FILE", kinds.optional(kinds.path()), "", "File that holds the token, and nothing else."
    )
    oanda_account_id: str | None = setting(
        "OANDA_ACCOUNT_ID", kinds.optional(kinds.account_id()), "", "Account whose state snapshots show."
    )
    oanda_environment: Literal["practice", "live"] = setting(
        "OANDA_ENVIRONMENT", kinds.choice("practice", "live"), "practice", "OANDA's servers."
    )
    candle_count: int = setting(
        "CANDLE_COUNT", kinds.whole(1, 1_000_000), "1500", "Candles per instrument of a warm-up without --days."
    )
    candle_gran: str = setting("CANDLE_GRAN", kinds.granularity(), "M1", "Granularity of the candles.")
    candle_hot_days: int = setting(
        "CANDLE_HOT_DAYS",
        kinds.whole(2, _DAYS_AT_MOST),
        "95",
        "So many days of candles stand one by one in md:candles; older ones are packed by the day.",
        "days",
    )
    candle_retention_days: int = setting(
        "CANDLE_RETENTION_DAYS",
        kinds.whole(2, _DAYS_AT_MOST),
        Derived("as CANDLE_HOT_DAYS", ("candle_hot_days",), lambda days: days),
        "Candles are kept and back-filled so far.",
        "days",
    )
    signal_retention_days: int = setting(
        "SIGNAL_RETENTION_DAYS", kinds.whole(1, _DAYS_AT_MOST), "7", "Signals are kept so long.", "days"
    )
    manifold_retention_days: int = setting(
        "MANIFOLD_RETENTION_DAYS", kinds.whole(1, _DAYS_AT_MOST), "90", "Manifold files are kept so long.", "days"
    )
    snapshot_retention_days: int = setting(
        "SNAPSHOT_RETENTION_DAYS", kinds.whole(1, _DAYS_AT_MOST), "365", "Snapshots are kept so long.", "days"
    )

    eval_interval_sec: int = setting(
        "EVAL_INTERVAL_SEC", kinds.whole(1, _DAY_SEC), "900", "Time between evaluations.", "s"
    )
    decision_lag_sec: float = setting(
        "DECISION_LAG_SEC",
        kinds.number(0, 300),
        "10",
        "How long after its slot a decision runs, so that candles arrive.",
        "s",
    )
    eval_min_trades: int = setting(
        "EVAL_MIN_TRADES", kinds.whole(0, 100_000), "8", "Floor of the trades within 30 days."
    )
    eval_calmar_min: float = setting(
        "EVAL_CALMAR_MIN", kinds.number(-100, 100), "0.10", "Floor of the Calmar ratio over 30 days."
    )
    eval_pnl_min: float = setting(
        "EVAL_PNL_MIN", kinds.number(-10, 10), "0.0", "Floor of the sum of log returns over 30 days."
    )
    eval_adaptive_share: float = setting(
        "EVAL_ADAPTIVE_SHARE", kinds.number(0, 1), "0.5", "Share of its own median that an instrument has to hold."
    )
    req_consec: int = setting(
        "REQ_CONSEC", kinds.whole(1, 100), "2", "Passes in a row that open a gate, fails in a row that close it."
    )
    cooldown_sec: int = setting(
        "COOLDOWN_SEC", kinds.whole(0, 7 * _DAY_SEC), "7200", "Cooldown after four misses.", "s"
    )
    hysteresis_default: float = setting(
        "HYSTERESIS_DEFAULT", kinds.number(-1, 1), "0.10", "Buffer around each floor; clamped to 0 ... 0.3."
    )
    hysteresis_pair_json: Mapping[str, float] = setting(
        "HYSTERESIS_PAIR_JSON",
        kinds.numbers_by_instrument(-1, 1),
        '{"NZD_USD":0.12,"USD_CHF":0.15}',
        "Buffers of single instruments; clamped likewise.",
    )
    gates_blob_max_age_sec: int = setting(
        "GATES_BLOB_MAX_AGE_SEC",
        kinds.whole(1, 7 * _DAY_SEC),
        Derived("2 x EVAL_INTERVAL_SEC", ("eval_interval_sec",), lambda interval: 2 * interval),
        "Age from which the gates count as unknown.",
        "s",
    )

    auto_min_coherence: Threshold = setting(
        "AUTO_MIN_COHERENCE", kinds.threshold(), "0.55", "Least coherence C of an entry (c_min)."
    )
    guard_min_coherence: Threshold = setting(
        "GUARD_MIN_COHERENCE",
        kinds.threshold(),
        Derived("as AUTO_MIN_COHERENCE", ("auto_min_coherence",), lambda coherence: coherence),
        "Least coherence C shown as met by the guards of the newest manifold.",
    )
    auto_direction_lookback: int = setting(
        "AUTO_DIRECTION_LOOKBACK", kinds.whole(1, 1440), "12", "Look-back of the direction.", "candles"
    )
    auto_dir_threshold_bps: float = setting(
        "AUTO_DIR_THRESHOLD_BPS", kinds.number(0, 1000), "2.0", "Least slope over the look-back.", "bps"
    )
    guard_min_stability: Threshold = setting(
        "GUARD_MIN_STABILITY", kinds.threshold(), "0.40", "Least stability S of an entry."
    )
    auto_max_entropy: Threshold = setting(
        "AUTO_MAX_ENTROPY", kinds.threshold(), "0.70", "Greatest entropy H of an entry."
    )
    auto_max_rupture: Threshold = setting(
        "AUTO_MAX_RUPTURE", kinds.threshold(), "0.60", "Greatest rupture R of an entry."
    )
    auto_max_hazard: Threshold = setting(
        "AUTO_MAX_HAZARD", kinds.threshold(), "1.0", "Greatest hazard (lambda) of an entry."
    )
    auto_guard_enforce: bool = setting(
        "AUTO_GUARD_ENFORCE",
        kinds.flag(),
        Derived("1 for calibrated, 0 for native", ("kernel",), lambda kernel: kernel == "calibrated"),
        "Whether entries have to meet the guards on S, H, R and lambda.",
    )
    strands_c_min: str | None = setting(
        "STRANDS_C_MIN", kinds.optional(kinds.text("any text")), "", "Accepted, without effect."
    )
    cost_bps_json: Mapping[str, float] = setting(
        "COST_BPS_JSON",
        kinds.numbers_by_instrument(0, 1000),
        "{}",
        "Round-trip costs that replace the built-in ones.",
        "bps",
    )
    cost_from_spread: bool = setting(
        "COST_FROM_SPREAD", kinds.flag(), "0", "Whether costs come from the stored bid and ask instead."
    )

    session_trading_enabled: bool = setting(
        "SESSION_TRADING_ENABLED", kinds.flag(), "1", "Whether gates follow the market hours of their currencies."
    )
    session_exit_minutes: int = setting(
        "SESSION_EXIT_MINUTES", kinds.whole(0, 1440), "5", "Gates close so long before their session does.", "min"
    )
    session_pattern_min_occurrences: int = setting(
        "SESSION_PATTERN_MIN_OCCURRENCES", kinds.whole(0, 1000), "2", "How often a signature has to repeat at hazard 0."
    )
    session_pattern_lookback_min: int = setting(
        "SESSION_PATTERN_LOOKBACK_MIN",
        kinds.whole(1, 1380),
        "60",
        "Within which time a signature has to repeat.",
        "min",
    )
    signature_precision: int = setting(
        "SIGNATURE_PRECISION", kinds.whole(0, 6), "1", "Decimals of a signature, native family."
    )
    signature_levels: int = setting(
        "SIGNATURE_LEVELS", kinds.whole(1, 100), "4", "Steps of a signature, calibrated family."
    )
    session_windows_json: Mapping[str, Any] = setting(
        "SESSION_WINDOWS_JSON", kinds.json_object(), "{}", "Market hours, and the session of each currency."
    )

    alloc_interval_sec: int = setting(
        "ALLOC_INTERVAL_SEC", kinds.whole(1, _DAY_SEC), "600", "Time between allocations.", "s"
    )
    alloc_top_k: int = setting("ALLOC_TOP_K", kinds.whole(1, 1000), "3", "Instruments that get a weight at most.")
    alloc_w_c: float = setting("ALLOC_W_C", kinds.number(0, 100), "0.60", "Weight of C in the score.")
    alloc_w_stab: float = setting("ALLOC_W_STAB", kinds.number(0, 100), "0.20", "Weight of S in the score.")
    alloc_w_rup: float = setting("ALLOC_W_RUP", kinds.number(0, 100), "0.15", "Weight of 1 - R in the score.")
    alloc_w_ent: float = setting("ALLOC_W_ENT", kinds.number(0, 100), "0.05", "Weight of 1 - H in the score.")
    alloc_w_hazard: float = setting("ALLOC_W_HAZARD", kinds.number(0, 100), "0", "Weight of lambda against the score.")
    alloc_score_window_min: int = setting(
        "ALLOC_SCORE_WINDOW_MIN", kinds.whole(1, 1440), "60", "Metrics are averaged over so long for the score.", "min"
    )
    alloc_incumbent_bonus: float = setting(
        "ALLOC_INCUMBENT_BONUS", kinds.number(0, 10), "0.25", "Bonus in the ranking for who holds a weight."
    )
    alloc_min_change: float = setting(
        "ALLOC_MIN_CHANGE", kinds.share(), "0.01", "Smaller moves of every weight leave the weights as they are."
    )
    alloc_hold_mode: Literal["hold", "reduce_only"] = setting(
        "ALLOC_HOLD_MODE",
        kinds.choice("hold", "reduce_only"),
        "hold",
        "With too few candidates: hold all weights, or drop those of closed gates.",
    )
    alloc_max_hold_sec: int = setting(
        "ALLOC_MAX_HOLD_SEC", kinds.whole(0, 7 * _DAY_SEC), "3600", "Longest hold over usable gates; 0: no bound.", "s"
    )
    alloc_redistribute: bool = setting(
        "ALLOC_REDISTRIBUTE", kinds.flag(), "0", "Whether what the cap cuts off goes to the others."
    )
    risk_alloc_target_pct: float = setting(
        "RISK_ALLOC_TARGET_PCT", kinds.share(), "0.30", "All weights together at most.", "parts of the book"
    )
    pm_max_per_pos_pct: float = setting(
        "PM_MAX_PER_POS_PCT", kinds.share(), "0.10", "One weight at most.", "parts of the book"
    )

    trials_max_combinations: int = setting(
        "TRIALS_MAX_COMBINATIONS", kinds.whole(1, 100_000_000), "20000", "Larger grids are refused without --force."
    )
    promote_min_dsr: float = setting(
        "PROMOTE_MIN_DSR", kinds.number(0, 1), "0", "Least deflated Sharpe ratio of a promotion."
    )
    promote_max_pbo: float = setting(
        "PROMOTE_MAX_PBO", kinds.number(0, 1), "1", "Greatest probability of over-fitting of a promotion."
    )
    backfill_on_deploy: bool = setting("BACKFILL_ON_DEPLOY", kinds.flag(), "1", "Whether deploy warms up.")
    run_trials_on_deploy: bool = setting("RUN_TRIALS_ON_DEPLOY", kinds.flag(), "1", "Whether deploy runs trials.")
    apply_winners_on_deploy: bool = setting(
        "APPLY_WINNERS_ON_DEPLOY", kinds.flag(), "1", "Whether deploy promotes and applies winners."
    )
    disengage_kill_on_success: bool = setting(
        "DISENGAGE_KILL_ON_SUCCESS", kinds.flag(), "0", "Whether a deploy that went well releases the kill switch."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "LOG_LEVEL", kinds.choice("debug", "info", "warning", "error"), "info", "Least level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = setting(
        "LOG_FORMAT", kinds.choice("auto", "json", "console"), "auto", "auto: console on a terminal, JSON elsewhere."
    )

    @property
    def http_address(self) -> Address:
        """``http``, split."""
        return kinds.parse_address(self.http)

    @property
    def candle_source(self) -> Source:
        """``source``, split."""
        name, _, directory = self.source.partition(":")
        return Source(cast(Literal["oanda", "replay", "simulated"], name), directory or None)

    def secrets(self) -> tuple[str, ...]:
        """Return all texts that must never be seen."""
        held = [secret.reveal() for secret in (self.http_token, self.oanda_api_key) if secret]
        told = [part for url in self.notify_urls or () for part in url_tokens(url.reveal())]
        return (*held, *url_passwords(self.valkey_url or ""), *told)

    def shown(self) -> dict[str, str]:
        """Return every setting as text by its environment name, secrets masked."""
        return {each.name: each.kind.show(getattr(self, name)) for name, each in TABLE.items()}

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={text}' for name, text in self.shown().items())})"


TABLE: Final[Mapping[str, Setting]] = {each.name: each.metadata[METADATA] for each in fields(Settings)}
"""Every setting by its field's name, in the order of the declaration."""
