"""Payloads of files, as schemas: the manifold document of a day or of a run, parameters in force, and what a snapshot holds."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from hotbandd.core.documents import AllocatorStatus, Params, Repetition, Structure, Weights
from hotbandd.core.units import Count, Hazard, Millis, Minutes, Name, Nanos, Price, State, Unit


class WindowCoefficients(Struct, frozen=True, kw_only=True):
    """Coefficients of one window."""

    lambda_hazard: Annotated[Unit, Meta(description="R of the window.")]


class WindowDiagnostics(Struct, frozen=True, kw_only=True):
    """What is remarkable about a window's candles."""

    gap_minutes: Annotated[Minutes, Meta(description="Longest gap over an hour inside the window, min.")]


class RunSignal(Structure, frozen=True, kw_only=True):
    """One window; its metrics come twice, nested and flat."""

    timestamp_ns: Annotated[Nanos, Meta(description="Close of the window's newest candle, UTC epoch, ns.")]
    price: Price
    state: State
    metrics: Structure
    coeffs: WindowCoefficients
    repetition: Repetition
    lambda_hazard: Annotated[Unit, Meta(description="R of the window.")]
    diagnostics: WindowDiagnostics | UnsetType = UNSET


class RunCoefficients(Struct, frozen=True, kw_only=True):
    """Coefficients of a run."""

    sigma_eff: Annotated[float, Meta(ge=0.0, description="Standard deviation of log returns per minute.")]
    lambda_: Hazard = field(name="lambda")


class RunDocument(Struct, frozen=True, kw_only=True):
    """Every window of a run over candles; without a candle only the first three fields."""

    instrument: Annotated[str, Meta(description="What was measured.")]
    count: Annotated[Count, Meta(description="Candles.")]
    signals: Annotated[list[RunSignal], Meta(description="A window each, ascending.")]
    t0_ms: Annotated[Millis | UnsetType, Meta(description="Open of the first candle, UTC epoch, ms.")] = UNSET
    t1_ms: Annotated[Millis | UnsetType, Meta(description="Open of the last candle, UTC epoch, ms.")] = UNSET
    metrics: Annotated[Structure | UnsetType, Meta(description="Of the last window.")] = UNSET
    coeffs: RunCoefficients | UnsetType = UNSET


class Promoted(Struct):
    """An instrument's entry in ``config/live_params.yaml``; what else it holds is for people."""

    params: Annotated[Params, Meta(description="What differs from the settings.")]


class LiveParams(Struct, forbid_unknown_fields=True, kw_only=True):
    """Parameters in force where they differ from the settings."""

    instruments: dict[Name, Promoted] = {}
    global_: Annotated[Promoted | UnsetType, Meta(description="Of all instruments: what apply writes.")] = field(
        name="global", default=UNSET
    )


class SnapshotAllocation(Struct, frozen=True, kw_only=True):
    """The allocator's documents at the moment of a snapshot."""

    ts: Annotated[Millis, Meta(description="The moment, UTC epoch, ms.")]
    weights: Weights
    status: AllocatorStatus | None
