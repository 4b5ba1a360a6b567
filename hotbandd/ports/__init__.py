"""What services and operations ask of the outside, one protocol per kind of system.

Every implementation of a port passes the contract suite of that port in ``tests/adapters``.
"""

from hotbandd.ports.archive import SignalArchive, TrialArchive
from hotbandd.ports.artifacts import Artifacts
from hotbandd.ports.market import Broker, CandleSource, Page
from hotbandd.ports.notices import Delivery, Notices
from hotbandd.ports.parameters import LiveParams
from hotbandd.ports.runtime import Clock, Compute, FollowingClock, RemoteCompute, Shared, Where
from hotbandd.ports.server import Server, ServerFacts
from hotbandd.ports.store import Ages, Evaluation, Lease, ManifoldUpdate, Outcome, Store
from hotbandd.ports.supervision import ServiceManager
from hotbandd.ports.telemetry import Telemetry

__all__ = [
    "Ages",
    "Artifacts",
    "Broker",
    "CandleSource",
    "Clock",
    "Compute",
    "Delivery",
    "Evaluation",
    "FollowingClock",
    "Lease",
    "LiveParams",
    "ManifoldUpdate",
    "Notices",
    "Outcome",
    "Page",
    "RemoteCompute",
    "Server",
    "ServerFacts",
    "ServiceManager",
    "Shared",
    "SignalArchive",
    "Store",
    "Telemetry",
    "TrialArchive",
    "Where",
]
