"""Faults against real processes and a real Valkey: a short count with the suite, the full one with ``make faults``."""
