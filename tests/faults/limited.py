"""A command that may not write as it likes: ``python -m tests.faults.limited BYTES hotbandd WORDS ...``.

No file of it grows beyond BYTES: the system refuses the write, in the middle of it, as it does on a full disk. Where it runs as root,
it lacks the right to write where the folder's rights forbid it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1


def main() -> None:
    """Become the command."""
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "a right cannot be given up")
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])


if __name__ == "__main__":
    main()
