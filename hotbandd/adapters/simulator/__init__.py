"""A simulated market: candles as a pure function of seed, instrument and minute."""

from hotbandd.adapters.simulator.regimes import Regime, describe
from hotbandd.adapters.simulator.source import DEFAULT_SEED, DEMO_START_MS, SimulatedSource

__all__ = ["DEFAULT_SEED", "DEMO_START_MS", "Regime", "SimulatedSource", "describe"]
