"""What services and operations ask of the outside, one protocol per kind of system.

Every implementation of a port passes the contract suite of that port in ``tests/adapters``.
"""

from hotbandd.ports.market import Broker, CandleSource, Page
from hotbandd.ports.runtime import Clock, Compute
from hotbandd.ports.store import Ages, Evaluation, Lease, ManifoldUpdate, Outcome, Store
from hotbandd.ports.telemetry import Telemetry

__all__ = [
    "Ages",
    "Broker",
    "CandleSource",
    "Clock",
    "Compute",
    "Evaluation",
    "Lease",
    "ManifoldUpdate",
    "Outcome",
    "Page",
    "Store",
    "Telemetry",
]
