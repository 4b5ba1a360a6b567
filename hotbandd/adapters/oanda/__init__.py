"""OANDA's v20 REST interface: candles, the account and its open trades."""

from hotbandd.adapters.oanda.client import Client, Limits
from hotbandd.adapters.oanda.source import Environment, OandaSource

__all__ = ["Client", "Environment", "Limits", "OandaSource"]
