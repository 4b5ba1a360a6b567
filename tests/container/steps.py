"""Build the image's files without a container engine, and run them as the image would: python -m tests.container.steps --help.

As user 10001 without capabilities, over a root that cannot be written, with a volume and a /tmp: the daemon starts, publishes, passes its
health check, and ends well on SIGTERM. Needs root on Linux, and the package index.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.container.dockerfile import Stage, build, words_of

ROOT = Path(__file__).resolve().parents[2]
PORT = 8137
HOME = "/var/lib/hotband"
_SEALED = (
    "mkdir -p {home} $ROOT{volume} $ROOT/tmp; chown 10001:10001 {home}; mount --bind {home} $ROOT{volume}; mount -t tmpfs tmpfs $ROOT/tmp; "
    "mount -o remount,ro $ROOT"
)


def main() -> None:
    """Take all steps, then run the checks."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--base",
        type=Path,
        default=Path("/"),
        help="root of the base image, such as debootstrap makes (default: this machine's)",
    )
    arguments.add_argument(
        "--python",
        type=Path,
        default=Path(sys.base_prefix),
        help="prefix of the Python that the base has, copied into it where it lacks it",
    )
    chosen = arguments.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        sys.exit("This needs root on Linux.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = chosen.base
        inside = base / str(chosen.python).lstrip("/")
        if not inside.exists():
            shutil.copytree(chosen.python, inside, symlinks=True)
        # The image's user has to reach Python where it lies, be that below a home that is private.
        open_up = "; ".join(f"chmod o+x {folder}" for folder in chosen.python.parents)
        environment = {"PATH": f"{chosen.python}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"}
        environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT"))}
        began = time.monotonic()
        image = build(ROOT / "Dockerfile", folder, base, environment, prepare=open_up)
        print(f"built in {time.monotonic() - began:.0f} s; the layers over the base hold {image.size() / 1e6:.0f} MB")
        check(image, folder / "home")


def check(image: Stage, home: Path) -> None:
    """Run the image as its description says, and see that it works, stays within its bounds, and ends well."""
    image.environment |= {"HOTBAND_SOURCE": "simulated", "HOTBAND_HTTP": f"127.0.0.1:{PORT}", "CANDLE_HOT_DAYS": "35"}
    entry = [*words_of(image.declared["ENTRYPOINT"]), *words_of(image.declared["CMD"])]
    asked = sealed(image, home, shlex.join(words_of(image.declared["HEALTHCHECK"].partition("CMD")[2])))
    daemon = subprocess.Popen(sealed(image, home, shlex.join(entry)), env=image.environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while subprocess.run(asked, env=image.environment, capture_output=True, check=False).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"not healthy; the daemon's exit code is {daemon.poll()}")
            time.sleep(2)
        print("healthy, by its own health check")
        tried = (
            "id -u; grep -c '^CapEff:\\s0000000000000000' /proc/self/status; touch /opt/x 2>/dev/null || echo read-only"
        )
        said = subprocess.run(
            sealed(image, home, tried), env=image.environment, capture_output=True, text=True, check=False
        ).stdout.split()
        if said != ["10001", "1", "read-only"]:
            sys.exit(f"not as sealed as it should be: {said}")
        print("runs as 10001, without capabilities, over a root that cannot be written")
        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait(10)
        print(f"ended by SIGTERM within {time.monotonic() - began:.1f} s, exit code {code}")
        if code != 0:
            sys.exit(1)
    finally:
        daemon.kill()


def sealed(image: Stage, home: Path, command: str) -> list[str]:
    """Return the command that runs one inside as compose.yaml has it."""
    uid, gid = image.user.split(":")
    words = f"exec setpriv --reuid={uid} --regid={gid} --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs {command}"
    if ";" in command:
        words = words.replace(command, f"sh -c {shlex.quote(command)}")
    return image.command(words, before=_SEALED.format(home=home, volume=HOME))


if __name__ == "__main__":
    main()
