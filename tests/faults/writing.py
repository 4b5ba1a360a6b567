"""Files written together, as reports, snapshots and parameters are: ``python -m tests.faults.writing NAME=BYTES ...``."""

from __future__ import annotations

import sys
from pathlib import Path

from hotbandd.adapters.files import write_all
from hotbandd.errors import UsageError

NEW = b"n"


def main() -> None:
    """Write, or say why not."""
    sizes = (word.split("=") for word in sys.argv[1:])
    try:
        write_all({Path(name): NEW * int(size) for name, size in sizes})
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
