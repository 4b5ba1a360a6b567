"""The parameters that each instrument is back-tested with: its entry in the file of live parameters, over the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from hotbandd.core.documents import Params
from hotbandd.core.live_params import Overlays, overlay
from hotbandd.core.param_key import extras, param_key
from hotbandd.core.setup import Setup
from hotbandd.errors import InputError
from hotbandd.ports import LiveParams, Telemetry

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings' parameters of each instrument, and what its runs depend on besides."""

    params: Mapping[str, Params]
    setup: Setup
    default_setup: Setup


class ParametersInForce:
    """Parameters and their names, by instrument. A file that cannot be used is told, and the old parameters stay."""

    def __init__(self, live: LiveParams, telemetry: Telemetry, loop: str) -> None:
        self._live = live
        self._telemetry = telemetry
        self._loop = loop
        self._overlays: Overlays | None = None
        self._rules: Rules | None = None
        self._found: dict[str, tuple[Params, str]] = {}

    async def renew(self, rules: Rules) -> None:
        """Take over what has changed. Raises InputError where there are no old parameters to stay with."""
        try:
            overlays = await self._live.read()
        except InputError as error:
            self._telemetry.loop_failed(self._loop, type(error).__name__)
            if self._overlays is None:
                raise
            log.error("parameters.refused", error=str(error))
            overlays = self._overlays
        if overlays is self._overlays and rules is self._rules:
            return
        found = {pair: overlay(base, overlays.get(pair, {})) for pair, base in rules.params.items()}
        keys = {pair: param_key(one, extras(pair, rules.setup, rules.default_setup)) for pair, one in found.items()}
        changed = {pair: key for pair, key in keys.items() if self._found and self._found[pair][1] != key}
        if changed:
            log.info("parameters.changed", **changed)
        self._overlays, self._rules = overlays, rules
        self._found = {pair: (found[pair], keys[pair]) for pair in found}

    def params(self, pair: str) -> Params:
        """Return the parameters of an instrument."""
        return self._found[pair][0]

    def key(self, pair: str) -> str:
        """Return the name of the parameter set of an instrument."""
        return self._found[pair][1]
