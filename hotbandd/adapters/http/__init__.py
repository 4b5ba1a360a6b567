"""HTTP: what the daemon shows, as documents and as Prometheus' text."""

from hotbandd.adapters.http.application import application
from hotbandd.adapters.http.server import serve
from hotbandd.adapters.http.state import HttpState

__all__ = ["HttpState", "application", "serve"]
