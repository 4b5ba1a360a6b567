"""How many examples are drawn: set before the tests are read, by the option ``--full``."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FULL = False


def examples(short: int, full: int) -> settings:
    """Return how many examples a test draws with the suite, and how many in full."""
    slow_is_fine = [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
    ]
    return settings(max_examples=full if FULL else short, suppress_health_check=slow_is_fine, deadline=None)
