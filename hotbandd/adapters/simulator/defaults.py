"""The market that `demo` shows. Seed and start belong together: a test holds that there is something to see."""

from __future__ import annotations

DEFAULT_SEED = 7
DEMO_START_MS = (
    1_718_800_200_000  # Wednesday 2024-06-19 12:30 UTC: all eight pairs are open, and AUD_USD is about to turn
)
