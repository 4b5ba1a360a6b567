"""Settings, cut into the parts that each component is given."""

from __future__ import annotations

import json
from math import nan

from hotbandd.adapters import strategies
from hotbandd.core import gates, sessions
from hotbandd.core.allocation import AllocationRules
from hotbandd.core.changes import Kind
from hotbandd.core.documents import Params
from hotbandd.core.entry_bounds import EntryBounds
from hotbandd.core.explanation import Rulebook
from hotbandd.core.floors import EnvFloors
from hotbandd.core.manifold_documents import Bounds, Form
from hotbandd.core.sessions import Calendar
from hotbandd.core.setup import Setup
from hotbandd.core.thresholds import Guards
from hotbandd.errors import SettingsError
from hotbandd.ports import Ages
from hotbandd.services.allocator import AllocatorRules
from hotbandd.services.evaluator import EvaluatorRules
from hotbandd.services.hydrator import HydratorRules
from hotbandd.services.notifier import NotifierRules
from hotbandd.settings import Settings, load


def calendar(settings: Settings) -> Calendar:
    """Return the sessions. Raises SettingsError for a currency without one."""
    made = sessions.calendar(settings.session_windows_json, enabled=settings.session_trading_enabled)
    made.check(settings.pairs)
    return made


def ages(settings: Settings) -> Ages:
    """Return how long the store keeps what."""
    return Ages(
        candles_days=settings.candle_retention_days,
        candles_hot_days=settings.candle_hot_days,
        signal_days=settings.signal_retention_days,
        gates_blob_sec=settings.gates_blob_max_age_sec,
        alloc_interval_sec=settings.alloc_interval_sec,
    )


def bounds(settings: Settings) -> EntryBounds:
    """Return the entry bounds that the newest manifold is shown against."""
    return EntryBounds(
        c_min=settings.guard_min_coherence,
        s_min=settings.guard_min_stability,
        h_max=settings.auto_max_entropy,
        r_max=settings.auto_max_rupture,
        hazard_max=settings.auto_max_hazard,
    )


def hydrator(settings: Settings, source: str) -> HydratorRules:
    """Return the hydrator's rules."""
    return HydratorRules(
        interval_sec=settings.processing_interval,
        lag_sec=settings.decision_lag_sec,
        source=source,
        family=settings.kernel,
        form=form(settings),
        bounds=bounds(settings),
    )


def form(settings: Settings) -> Form:
    """Return how signatures are written."""
    return Form(settings.signature_precision, settings.signature_levels)


def setup(settings: Settings) -> Setup:
    """Return what every back-test depends on besides its parameters. Raises SettingsError for a strategy that cannot be used."""
    return Setup(
        kernel=settings.kernel,
        guards=Guards(
            enforce=settings.auto_guard_enforce,
            s_min=settings.guard_min_stability,
            h_max=settings.auto_max_entropy,
            r_max=settings.auto_max_rupture,
            hazard_max=settings.auto_max_hazard,
        ),
        sessions=settings.session_trading_enabled,
        exit_minutes=settings.session_exit_minutes,
        windows=json.dumps(settings.session_windows_json, sort_keys=True) if settings.session_windows_json else "",
        costs=settings.cost_bps_json,
        cost_from_spread=settings.cost_from_spread,
        rules=strategies.rules(),
    )


def default_setup() -> Setup:
    """Return the setup of the settings' own defaults, against which a ``param_key`` names what differs."""
    return setup(load({}, None).settings)


def params(settings: Settings) -> Params:
    """Return the strategy's parameters of the settings."""
    return Params(
        c_min=settings.auto_min_coherence,
        direction_lookback=settings.auto_direction_lookback,
        dir_threshold_bps=settings.auto_dir_threshold_bps,
        strategy=settings.strategy,
    )


def evaluator(settings: Settings) -> EvaluatorRules:
    """Return the evaluator's rules. Raises SettingsError for a strategy that there is not."""
    rules = strategies.rules()
    if settings.strategy not in rules:
        raise SettingsError(f"HOTBAND_STRATEGY must be one of {', '.join(sorted(rules))}, not {settings.strategy!r}.")
    return EvaluatorRules(
        interval_sec=settings.eval_interval_sec,
        lag_sec=settings.decision_lag_sec,
        hot_days=settings.candle_retention_days,
        gate=gates.GateRules(
            req_consec=settings.req_consec,
            cooldown_sec=settings.cooldown_sec,
            exit_minutes=settings.session_exit_minutes,
        ),
        floors=EnvFloors(
            min_trades=settings.eval_min_trades,
            calmar_min=settings.eval_calmar_min,
            pnl_min=settings.eval_pnl_min,
        ),
        adaptive_share=settings.eval_adaptive_share,
        buffers={
            pair: gates.buffer(pair, settings.hysteresis_default, settings.hysteresis_pair_json)
            for pair in settings.pairs
        },
        params=dict.fromkeys(settings.pairs, params(settings)),
        setup=setup(settings),
        default_setup=default_setup(),
        bounds=bounds(settings),
        family=settings.kernel,
        precision=settings.signature_precision,
        levels=settings.signature_levels,
        lookback_min=settings.session_pattern_lookback_min,
        min_occurrences=settings.session_pattern_min_occurrences,
    )


def notifier(settings: Settings) -> NotifierRules:
    """Return which changes are told, and how often."""
    return NotifierRules(frozenset(map(Kind, settings.notify_on)), settings.notify_every_sec)


def rulebook(settings: Settings, numbers: Bounds | None = None) -> Rulebook:
    """Return what a gate is explained by; ``numbers``: the entry bounds in force, where percentiles are known."""
    rules, specs = evaluator(settings), bounds(settings)
    known = numbers or Bounds(*(nan if isinstance(spec, str) else spec for spec in specs.all))
    return Rulebook(rules.gate, rules.interval_sec, rules.floors, rules.adaptive_share, specs, known)


def allocator(settings: Settings) -> AllocatorRules:
    """Return the allocator's rules."""
    return AllocatorRules(
        pairs=settings.pairs,
        interval_sec=settings.alloc_interval_sec,
        lag_sec=settings.decision_lag_sec,
        score_window_min=settings.alloc_score_window_min,
        allocation=AllocationRules(
            top_k=settings.alloc_top_k,
            target=settings.risk_alloc_target_pct,
            cap=settings.pm_max_per_pos_pct,
            w_c=settings.alloc_w_c,
            w_s=settings.alloc_w_stab,
            w_r=settings.alloc_w_rup,
            w_h=settings.alloc_w_ent,
            w_hazard=settings.alloc_w_hazard,
            incumbent_bonus=settings.alloc_incumbent_bonus,
            min_change=settings.alloc_min_change,
            hold_mode=settings.alloc_hold_mode,
            max_hold_sec=settings.alloc_max_hold_sec,
            redistribute=settings.alloc_redistribute,
            gates_max_age_sec=settings.gates_blob_max_age_sec,
        ),
    )
