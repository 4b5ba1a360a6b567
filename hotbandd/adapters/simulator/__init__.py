"""A simulated market: candles as a pure function of seed, instrument and minute."""

from hotbandd.adapters.simulator.defaults import DEFAULT_SEED, DEMO_START_MS
from hotbandd.adapters.simulator.regimes import Regime, describe
from hotbandd.adapters.simulator.source import SimulatedSource

__all__ = ["DEFAULT_SEED", "DEMO_START_MS", "Regime", "SimulatedSource", "describe"]
