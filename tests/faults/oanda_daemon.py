"""``hotbandd`` whose OANDA is a fake one: ``python -m tests.faults.oanda_daemon run``, the address in FAKE_OANDA."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line."""
    from hotbandd.__main__ import main as hotbandd
    from hotbandd.adapters.oanda import source

    source.BASE_URLS["practice"] = os.environ.pop("FAKE_OANDA")
    hotbandd()


if __name__ == "__main__":
    main()
