"""Adapters: one outside system each, behind the protocols of ``hotbandd.ports``."""
