"""``hotbandd``, with faults that try to give its secrets away: ``python -m tests.fuzz.loose run``.

LOOSE_OANDA names the server that stands for OANDA; LOOSE_FAULT: ``step`` has each step of a loop fail with all secrets in its message and its
locals, ``whole`` the whole process.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn


def install(fault: str | None, oanda: str | None) -> None:
    """Install the faults."""
    from hotbandd.adapters.oanda import source
    from hotbandd.cli import common
    from hotbandd.services.hydrator import Hydrator

    if oanda is not None:
        source.BASE_URLS.update(practice=oanda, live=oanda)  # type: ignore[attr-defined]
    held = [os.environ[name] for name in ("OANDA_API_KEY", "HOTBAND_HTTP_TOKEN", "VALKEY_URL") if name in os.environ]

    async def fail(*_: Any) -> NoReturn:
        everything = " ".join(held)
        raise ValueError(f"it went wrong with {everything}")

    if fault == "step":
        Hydrator.step = fail  # type: ignore[method-assign]
    if fault == "whole":
        run = common.run
        common.run = lambda main: run(fail)


if __name__ == "__main__":
    install(os.environ.pop("LOOSE_FAULT", None), os.environ.pop("LOOSE_OANDA", None))
    from hotbandd.__main__ import main

    main()
